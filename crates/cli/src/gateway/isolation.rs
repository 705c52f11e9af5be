//! `turnlock gateway check-isolation`: checks that several gateways keep out of each other's way.

mod claims;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Schema, printable};
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
        output::answer_json(Schema::GatewayIsolation, &Answer { conflicts: &conflicts })?;
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

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    conflicts: &'a [Conflict<'a>],
}

/// Two gateways with a claim in common.
#[derive(Serialize)]
struct Conflict<'a> {
    /// The first, as it was named.
    #[serde(flatten, serialize_with = "output::first_path")]
    a: &'a Path,
    /// The second.
    #[serde(flatten, serialize_with = "output::second_path")]
    b: &'a Path,
    #[serde(flatten)]
    about: About,
}

/// What two gateways both claim.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "about")]
enum About {
    Config(Shared),
    StateDir(Shared),
    Workspace(Shared),
    Port {
        port: u16,
    },
    /// Base ports so close that ports derived from them meet.
    PortsTooClose {
        ports: [u16; 2],
    },
    CdpPort {
        port: u16,
    },
}

/// The path that two gateways share.
#[derive(Serialize)]
struct Shared {
    #[serde(flatten, serialize_with = "output::plain_path")]
    path: PathBuf,
}

impl fmt::Display for Conflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}: {}", self.a.display(), self.b.display(), self.about)
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(Shared { path }) => write!(f, "the same config, {}", path.display()),
            Self::StateDir(Shared { path }) => {
                write!(f, "the same state directory, {}", path.display())
            }
            Self::Workspace(Shared { path }) => write!(
                f,
                "the same workspace, {}; set agents.defaults.workspace in one of them",
                path.display()
            ),
            Self::Port { port } => {
                write!(f, "the same port, {port}; set gateway.port in one of them")
            }
            Self::PortsTooClose { ports: [a, b] } => write!(
                f,
                "base ports {a} and {b} are {} apart; the browser control port \
                 (base + {BROWSER_CONTROL}) and the CDP range (base + {} to base + {}) need at \
                 least {PORT_DISTANCE}",
                a.abs_diff(*b),
                CDP.0,
                CDP.1
            ),
            Self::CdpPort { port } => write!(f, "the same browser port, {port}"),
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
        found.push(About::Config(Shared { path: a.config.clone() }));
    }
    if a.state_dir == b.state_dir {
        found.push(About::StateDir(Shared { path: a.state_dir.clone() }));
    }
    found
        .extend(common(&a.workspaces, &b.workspaces).map(|path| About::Workspace(Shared { path })));
    match a.port.abs_diff(b.port) {
        0 => found.push(About::Port { port: a.port }),
        distance if distance < PORT_DISTANCE => {
            found.push(About::PortsTooClose { ports: [a.port, b.port] });
        }
        _ => {}
    }
    found.extend(common(&a.cdp_ports, &b.cdp_ports).map(|port| About::CdpPort { port }));
    found
}

fn common<'a, T: Ord + Clone>(
    a: &'a BTreeSet<T>,
    b: &'a BTreeSet<T>,
) -> impl Iterator<Item = T> + use<'a, T> {
    a.intersection(b).cloned()
}
