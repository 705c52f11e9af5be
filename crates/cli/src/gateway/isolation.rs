//! Whether several gateways keep out of each other's way: config, state directory, workspaces and ports.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layout::canonical_file;
use super::{DEFAULT_PORT, Refused};
use crate::error::{Context, Error, Result};
use crate::sweep::lossy;

/// How far apart base ports must be.
pub const PORT_DISTANCE: u16 = 120;
/// The browser control port, from the base port.
const BROWSER_CONTROL: u16 = 2;
/// The first and the last port for browsers, from the base port.
const CDP: (u16, u16) = (11, 110);

/// What a gateway claims for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Claims {
    /// The config file.
    #[serde(serialize_with = "lossy")]
    pub config: PathBuf,
    /// The state directory.
    #[serde(serialize_with = "lossy")]
    pub state_dir: PathBuf,
    /// Its agents' workspaces.
    #[serde(serialize_with = "all_lossy")]
    pub workspaces: BTreeSet<PathBuf>,
    /// The base port; others are derived from it.
    pub port: u16,
    /// Browser ports that the config names.
    pub cdp_ports: BTreeSet<u16>,
}

/// Two gateways that want the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Conflict {
    /// The one, as it was named.
    #[serde(serialize_with = "lossy")]
    pub a: PathBuf,
    /// The other.
    #[serde(serialize_with = "lossy")]
    pub b: PathBuf,
    /// What they both want.
    #[serde(flatten)]
    pub about: About,
}

/// What two gateways both want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "about", content = "value")]
#[non_exhaustive]
pub enum About {
    /// One config file.
    Config(#[serde(serialize_with = "lossy")] PathBuf),
    /// One state directory.
    StateDir(#[serde(serialize_with = "lossy")] PathBuf),
    /// One workspace.
    Workspace(#[serde(serialize_with = "lossy")] PathBuf),
    /// One base port.
    Port(u16),
    /// Base ports so close that ports derived from them meet.
    PortsTooClose(u16, u16),
    /// One browser port.
    CdpPort(u16),
}

fn all_lossy<S: serde::Serializer>(
    paths: &BTreeSet<PathBuf>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.display().to_string()))
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}: ", self.a.display(), self.b.display())?;
        match &self.about {
            About::Config(path) => write!(f, "the same config, {}", path.display()),
            About::StateDir(path) => write!(f, "the same state directory, {}", path.display()),
            About::Workspace(path) => {
                write!(
                    f,
                    "the same workspace, {}; set agents.defaults.workspace in one of them",
                    path.display()
                )
            }
            About::Port(port) => {
                write!(f, "the same port, {port}; set gateway.port in one of them")
            }
            About::PortsTooClose(a, b) => write!(
                f,
                "base ports {a} and {b} are {} apart; the browser control port (base + {BROWSER_CONTROL}) and the CDP range (base \
                 + {} to base + {}) need at least {PORT_DISTANCE}",
                a.abs_diff(*b),
                CDP.0,
                CDP.1
            ),
            About::CdpPort(port) => write!(f, "the same browser port, {port}"),
        }
    }
}

/// What the gateway at `path` claims: a state directory, or a config file, whose directory then is the state directory.
///
/// # Errors
/// If there is nothing, or no config that can be understood.
pub fn claims_of(path: &Path) -> Result<Claims> {
    let real = path.canonicalize().context("find", path)?;
    let (config, state_dir) = if real.is_dir() {
        (canonical_file(&real.join("openclaw.json"))?, real)
    } else {
        let dir = real.parent().unwrap_or(Path::new("/")).to_owned();
        (real, dir)
    };
    let read = Config::read(&config)?;
    let home = std::env::home_dir().unwrap_or_default();
    let expand = |path: &str| match path.strip_prefix("~/") {
        Some(rest) => canonical_file(&home.join(rest)),
        None => canonical_file(Path::new(path)),
    };
    let agents = read.agents.unwrap_or_default();
    let default = agents
        .defaults
        .unwrap_or_default()
        .workspace
        .unwrap_or_else(|| "~/.openclaw/workspace".into());
    let named = agents.list.into_iter().filter_map(|agent| agent.workspace);
    let port = read.gateway.unwrap_or_default().port.unwrap_or(DEFAULT_PORT);
    if port.checked_add(PORT_DISTANCE).is_none() {
        let reason =
            format!("gateway.port {port}: the ports derived from it would be beyond 65535");
        return Err(Error::Gateway(Refused::BadConfig { config, reason }));
    }
    Ok(Claims {
        workspaces: named.chain([default]).map(|path| expand(&path)).collect::<Result<_>>()?,
        cdp_ports: read
            .browser
            .unwrap_or_default()
            .profiles
            .into_values()
            .filter_map(|profile| profile.cdp_port)
            .collect(),
        config,
        state_dir,
        port,
    })
}

/// Compares each of the gateways with each other; empty if they keep out of each other's way.
///
/// # Errors
/// Those of [`claims_of`].
pub fn check_isolation(paths: &[PathBuf]) -> Result<Vec<Conflict>> {
    let gateways: Vec<_> =
        paths.iter().map(|path| Ok((path, claims_of(path)?))).collect::<Result<_>>()?;
    let mut conflicts = Vec::new();
    for (index, (a, ours)) in gateways.iter().enumerate() {
        for (b, theirs) in &gateways[index + 1..] {
            let found = compare(ours, theirs).into_iter();
            conflicts.extend(found.map(|about| Conflict {
                a: a.to_path_buf(),
                b: b.to_path_buf(),
                about,
            }));
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
    found.extend(a.workspaces.intersection(&b.workspaces).cloned().map(About::Workspace));
    match a.port.abs_diff(b.port) {
        0 => found.push(About::Port(a.port)),
        distance if distance < PORT_DISTANCE => found.push(About::PortsTooClose(a.port, b.port)),
        _ => {}
    }
    found.extend(a.cdp_ports.intersection(&b.cdp_ports).copied().map(About::CdpPort));
    found
}

/// What we need of OpenClaw's config, which is JSON5.
#[derive(Deserialize, Default)]
struct Config {
    gateway: Option<GatewaySection>,
    agents: Option<Agents>,
    browser: Option<Browser>,
}

#[derive(Deserialize, Default)]
struct GatewaySection {
    port: Option<u16>,
}

#[derive(Deserialize, Default)]
struct Agents {
    defaults: Option<Agent>,
    #[serde(default)]
    list: Vec<Agent>,
}

#[derive(Deserialize, Default)]
struct Agent {
    workspace: Option<String>,
}

#[derive(Deserialize, Default)]
struct Browser {
    #[serde(default)]
    profiles: std::collections::BTreeMap<String, BrowserProfile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BrowserProfile {
    cdp_port: Option<u16>,
}

impl Config {
    /// A state directory without a config is one with everything as by default.
    fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.context("read", path)?,
        };
        let refused =
            |e: json5::Error| Refused::BadConfig { config: path.to_owned(), reason: e.to_string() };
        json5::from_str(&text).map_err(|e| Error::Gateway(refused(e)))
    }
}
