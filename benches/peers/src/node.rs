//! The peers that are Node packages. They are installed into the target directory of this package,
//! and a script runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::actor::Actor;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node/actor.mjs");
const CACHE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target");

/// A peer, and the directory in which its packages are installed.
pub struct Peer {
    pub name: &'static str,
    modules: PathBuf,
}

/// The peers that can be installed here. Prints which ones cannot, and why.
pub fn peers() -> Vec<Peer> {
    let mut peers = Vec::new();
    for (package, names) in
        [("node", &["proper-lockfile", "fs-safe"][..]), ("openclaw", &["openclaw"])]
    {
        match installed(package) {
            Ok(modules) => {
                peers.extend(names.iter().map(|name| Peer { name, modules: modules.clone() }))
            }
            Err(why) => eprintln!("skipped: {}: {why}", names.join(", ")),
        }
    }
    peers
}

/// Installs the packages of `node/` or `openclaw/`, unless that was done. Returns their directory.
fn installed(package: &str) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
    let cache = Path::new(CACHE).join(package);
    let run = |command: &mut Command| match command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    };
    run(Command::new("node").arg("--version"))?;
    if !cache.join("node_modules").is_dir() {
        eprintln!("installing the packages of {}", source.display());
        std::fs::create_dir_all(&cache).map_err(|e| e.to_string())?;
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(source.join(file), cache.join(file))
                .map_err(|e| format!("{file}: {e}"))?;
        }
        let options = ["install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(options).current_dir(&cache))?;
    }
    Ok(cache)
}

impl Peer {
    pub fn start(&self, session: &Path) -> Actor {
        let mut command = Command::new("node");
        command.arg(SCRIPT).arg(self.name).arg(session).env("NODE_MODULES", &self.modules);
        Actor::run(command)
    }
}
