//! The peers' packages, fetched once into the target directory: from each OpenClaw only what it
//! ships itself, and beside it the four small packages that its lock's chunks import (a whole
//! install is 300 packages and 370 MB).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// Where everything lies, shared by all test processes.
const ROOT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/peers-node");
/// Those that the peers' locks import; found from `<ROOT>/<version>/` as Node looks for packages.
const SMALL: [&str; 5] = [
    "@openclaw/fs-safe@0.21.0",
    "chalk@5.6.2",
    "json5@2.2.3",
    "tslog@4.10.2",
    "@clack/prompts@1.6.0",
];
/// Nobody waits longer for a registry.
const SECONDS: &str = "120";

/// The directory of an OpenClaw's package, or why there is none.
pub fn openclaw(version: &str) -> Result<PathBuf, String> {
    small()?;
    let package = fetched(version, |fresh| {
        run(fresh, &["npm", "pack", "--silent", &format!("openclaw@{version}")])?;
        run(
            fresh,
            &[
                "tar",
                "-xzf",
                &format!("openclaw-{version}.tgz"),
                "package/package.json",
                "package/dist",
            ],
        )?;
        fs::remove_file(fresh.join(format!("openclaw-{version}.tgz"))).map_err(|e| e.to_string())
    })?;
    Ok(package.join("package"))
}

/// The directory of fs-safe's package, or why there is none.
pub fn fs_safe() -> Result<PathBuf, String> {
    Ok(small()?.join("@openclaw/fs-safe"))
}

fn small() -> Result<PathBuf, String> {
    fetched("node_modules", |fresh| {
        let install = [
            "npm",
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--omit=peer",
            "--no-save",
        ];
        run(fresh, &[&install[..], &SMALL[..]].concat())?;
        // The packages themselves are what is kept.
        for entry in fs::read_dir(fresh.join("node_modules")).map_err(|e| e.to_string())? {
            let entry = entry.map_err(|e| e.to_string())?;
            fs::rename(entry.path(), fresh.join(entry.file_name())).map_err(|e| e.to_string())?;
        }
        Ok(())
    })
}

/// What is there is complete: it is made beside its place, by one process at a time.
fn fetched(name: &str, fetch: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let place = Path::new(ROOT).join(name);
    fs::create_dir_all(ROOT).map_err(|e| e.to_string())?;
    let mut options = File::options();
    let lock = options.append(true).create(true).open(Path::new(ROOT).join(format!("{name}.lock")));
    let one_at_a_time = lock.map_err(|e| e.to_string())?;
    flock(&one_at_a_time, FlockOperation::LockExclusive).map_err(|e| e.to_string())?;
    if place.exists() {
        return Ok(place);
    }
    let refused = Path::new(ROOT).join(format!("{name}.unavailable"));
    if let Some(why) = lately(&refused) {
        return Err(why);
    }
    let fresh = tempfile::tempdir_in(ROOT).map_err(|e| e.to_string())?;
    if let Err(why) = fetch(fresh.path()) {
        let _ = fs::write(refused, &why);
        return Err(why);
    }
    fs::rename(fresh.keep(), &place).map_err(|e| e.to_string())?;
    Ok(place)
}

/// A registry that could not be reached a minute ago is not asked again by every test.
fn lately(refused: &Path) -> Option<String> {
    let age = fs::metadata(refused).ok()?.modified().ok()?.elapsed().ok()?;
    (age < Duration::from_secs(600)).then(|| fs::read_to_string(refused).ok()).flatten()
}

fn run(dir: &Path, words: &[&str]) -> Result<(), String> {
    let mut command = Command::new("timeout");
    // Without retries, so that a machine without the registry learns of it soon.
    command.arg(SECONDS).args(words).current_dir(dir).env("npm_config_fetch_retries", "1");
    let output = command.output().map_err(|e| format!("timeout: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}: {}: {}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
