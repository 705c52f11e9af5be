//! `turnlock gateway check-isolation`: checks that several gateways keep out of each other's way.

mod claims;
mod config;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Serialize, Serializer};

use crate::failure::Failure;
use crate::output::{self, printable};
use claims::{Claims, PORT_DISTANCE};

/// The browser control port, relative to the base port.
const BROWSER_CONTROL: u16 = 2;
/// The first and the last browser port, relative to the base port.
const CDP: (u16, u16) = (11, 110);

/// Compare gateways that are to run side by side: config, state directory, workspaces, ports
///
/// Each gateway needs its own. Ports are derived from the base port (browser control: base + 2;
/// browsers: up to base + 110), so base ports must be at least 120 apart. Nothing is changed.
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 no conflict; 1 conflicts; 2 usage.")]
pub(super) struct Args {
    /// State directories, or config files in their state directories
    #[arg(required = true, num_args = 2.., value_name = "DIR|FILE")]
    gateways: Vec<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let conflicts = compare_all(&args.gateways)?;
    if args.json {
        output::answer_json(&conflicts)?;
    } else if conflicts.is_empty() {
        output::answer(&format!("{} gateways, each on its own.\n", args.gateways.len()))?;
    } else {
        let lines: String = conflicts
            .iter()
            .map(|conflict| format!("- {}\n", printable(&conflict.to_string())))
            .collect();
        output::answer(&lines)?;
    }
    Ok(if conflicts.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Two gateways with a claim in common.
#[derive(Serialize)]
struct Conflict<'a> {
    /// The first, as it was named.
    #[serde(serialize_with = "lossy")]
    a: &'a Path,
    /// The second.
    #[serde(serialize_with = "lossy")]
    b: &'a Path,
    #[serde(flatten)]
    about: About,
}

/// What two gateways both claim.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "about", content = "value")]
enum About {
    Config(#[serde(serialize_with = "lossy")] PathBuf),
    StateDir(#[serde(serialize_with = "lossy")] PathBuf),
    Workspace(#[serde(serialize_with = "lossy")] PathBuf),
    Port(u16),
    /// Base ports so close that ports derived from them meet.
    PortsTooClose(u16, u16),
    CdpPort(u16),
}

fn lossy<S: Serializer>(path: &(impl AsRef<Path> + ?Sized), to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.as_ref().display())
}

impl fmt::Display for Conflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}: {}", self.a.display(), self.b.display(), self.about)
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(path) => write!(f, "the same config, {}", path.display()),
            Self::StateDir(path) => write!(f, "the same state directory, {}", path.display()),
            Self::Workspace(path) => write!(
                f,
                "the same workspace, {}; set agents.defaults.workspace in one of them",
                path.display()
            ),
            Self::Port(port) => {
                write!(f, "the same port, {port}; set gateway.port in one of them")
            }
            Self::PortsTooClose(a, b) => write!(
                f,
                "base ports {a} and {b} are {} apart; the browser control port \
                 (base + {BROWSER_CONTROL}) and the CDP range (base + {} to base + {}) need at \
                 least {PORT_DISTANCE}",
                a.abs_diff(*b),
                CDP.0,
                CDP.1
            ),
            Self::CdpPort(port) => write!(f, "the same browser port, {port}"),
        }
    }
}

/// Compares each gateway with every other one.
fn compare_all(paths: &[PathBuf]) -> Result<Vec<Conflict<'_>>, Failure> {
    let gateways: Vec<_> =
        paths.iter().map(|path| Ok((path, Claims::of(path)?))).collect::<Result<_, Failure>>()?;
    let mut conflicts = Vec::new();
    for (index, (a, ours)) in gateways.iter().enumerate() {
        for (b, theirs) in &gateways[index + 1..] {
            let found = compare(ours, theirs).into_iter();
            conflicts.extend(found.map(|about| Conflict { a, b, about }));
        }
    }
    Ok(conflicts)
}

fn compare(a: &Claims, b: &Claims) -> Vec<About> {
    let mut found = Vec::new();
    if a.config == b.config {
        found.push(About::Config(a.config.clone()));
    }
    if a.state_dir == b.state_dir {
        found.push(About::StateDir(a.state_dir.clone()));
    }
    found.extend(common(&a.workspaces, &b.workspaces).map(About::Workspace));
    match a.port.abs_diff(b.port) {
        0 => found.push(About::Port(a.port)),
        distance if distance < PORT_DISTANCE => found.push(About::PortsTooClose(a.port, b.port)),
        _ => {}
    }
    found.extend(common(&a.cdp_ports, &b.cdp_ports).map(About::CdpPort));
    found
}

fn common<'a, T: Ord + Clone>(
    a: &'a BTreeSet<T>,
    b: &'a BTreeSet<T>,
) -> impl Iterator<Item = T> + use<'a, T> {
    a.intersection(b).cloned()
}
