//! The peers of the Node world: installed into this package's target directory, driven by a script.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::actor::Actor;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node/actor.mjs");
const CACHE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target");

/// What can be played, and where its packages are.
pub struct Peer {
    pub name: &'static str,
    modules: PathBuf,
}

/// Those that can be had here; says which cannot, and why.
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

/// The packages of `node/` or `openclaw/`, installed once.
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
