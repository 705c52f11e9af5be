//! What a gateway claims for itself: config, state directory, workspaces and ports.

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::path::{Path, PathBuf};

use turnlock::gateway::DEFAULT_PORT;

use crate::failure::Failure;
use crate::gateway::config::{Agents, Config, unreadable};

/// The minimum distance between two base ports.
pub(super) const PORT_DISTANCE: u16 = 120;

/// The claims of one gateway, with links resolved.
pub(super) struct Claims {
    pub(super) config: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) workspaces: BTreeSet<PathBuf>,
    /// The base port. Other ports are derived from it.
    pub(super) port: u16,
    /// The browser ports that the config names.
    pub(super) cdp_ports: BTreeSet<u16>,
}

impl Claims {
    /// The claims of the gateway at `path`: a state directory, or a config file in one.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let real = path.canonicalize().map_err(|e| not_found(path, &e))?;
        let (config_path, state_dir) = if real.is_dir() {
            (canonical(&real.join("openclaw.json"))?, real)
        } else {
            let dir = real.parent().unwrap_or(Path::new("/")).to_owned();
            (real, dir)
        };
        let config = Config::read(&config_path)?;
        let port = config.gateway.unwrap_or_default().port.unwrap_or(DEFAULT_PORT);
        if port.checked_add(PORT_DISTANCE).is_none() {
            let reason =
                format!("gateway.port {port}: the ports derived from it would be beyond 65535");
            return Err(unreadable(&config_path, &reason));
        }
        let browsers = config.browser.unwrap_or_default().profiles.into_values();
        Ok(Self {
            workspaces: workspaces(config.agents.unwrap_or_default())?,
            cdp_ports: browsers.filter_map(|browser| browser.cdp_port).collect(),
            config: config_path,
            state_dir,
            port,
        })
    }
}

/// The default workspace, and those that single agents have.
fn workspaces(agents: Agents) -> Result<BTreeSet<PathBuf>, Failure> {
    let default = agents.defaults.unwrap_or_default().workspace;
    let default = default.unwrap_or_else(|| "~/.openclaw/workspace".into());
    let home = std::env::home_dir().unwrap_or_default();
    let of_agents = agents.list.into_iter().filter_map(|agent| agent.workspace);
    of_agents
        .chain([default])
        .map(|path| match path.strip_prefix("~/") {
            Some(rest) => canonical(&home.join(rest)),
            None => canonical(Path::new(&path)),
        })
        .collect()
}

/// The path with links resolved. Neither the file nor its directory need exist.
fn canonical(path: &Path) -> Result<PathBuf, Failure> {
    resolve(path).map_err(|e| not_found(path, &e))
}

fn resolve(path: &Path) -> IoResult<PathBuf> {
    match path.canonicalize() {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Ok(resolve(dir)?.join(name)),
        _ => Ok(path),
    }
}

fn not_found(path: &Path, error: &Error) -> Failure {
    Failure::new(format!("cannot find {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_and_what_is_missing_is_named_all_the_same() {
        let room = tempfile::tempdir().unwrap();
        let room = room.path().canonicalize().unwrap();
        std::fs::create_dir(room.join("real")).unwrap();
        std::os::unix::fs::symlink(room.join("real"), room.join("link")).unwrap();
        let resolved = |name: &str| resolve(&room.join(name)).unwrap();
        assert_eq!(resolved("link/a/b.json"), room.join("real/a/b.json"));
        assert_eq!(resolved("none/a/b.json"), room.join("none/a/b.json"));
    }
}
