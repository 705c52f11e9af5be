//! The packages of other filesystems.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Besides these, what they need and this machine has not is downloaded.
const PACKAGES: &[&str] = &[
    "samba",
    "diod",
    "sshfs",
    "openssh-sftp-server",
    "bindfs",
    "mergerfs",
    "fuse-overlayfs",
    "libfuse2",
    "libfuse3-3",
];

fn cache() -> PathBuf {
    std::env::var_os("TURNLOCK_NETWORK_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
        Path::new(&home).join(".cache/turnlock-network")
    })
}

/// The packages in the cache folder.
pub fn find() -> Option<PathBuf> {
    let root = cache().join("others");
    root.join("usr/sbin/smbd").exists().then_some(root)
}

/// Downloads and unpacks the packages, unless they are in the cache folder.
///
/// # Errors
/// Why there are none, in words.
pub fn fetch() -> Result<(), String> {
    if find().is_some() {
        return Ok(());
    }
    let fresh = cache().join(format!("others-{}", std::process::id()));
    fs::create_dir_all(fresh.join("root")).map_err(|e| format!("{}: {e}", fresh.display()))?;
    let unpacked = unpack_into(&fresh);
    if unpacked.is_ok() {
        // Another run may have been faster.
        let _ = fs::rename(fresh.join("root"), cache().join("others"));
    }
    let _ = fs::remove_dir_all(&fresh);
    unpacked
}

fn unpack_into(fresh: &Path) -> Result<(), String> {
    let run = |command: &mut Command| match command.current_dir(fresh).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            Err(told.lines().last().unwrap_or("it failed").to_owned())
        }
        Err(e) => Err(e.to_string()),
    };
    let mut wanted: BTreeSet<String> = PACKAGES.iter().map(|it| (*it).to_owned()).collect();
    for package in PACKAGES {
        // One at a time: some of them cannot be installed together.
        let mut simulation = Command::new("apt-get");
        let arguments = ["-s", "install", "--no-install-recommends", package];
        let told = run(simulation.args(arguments))?;
        let missing = told.lines().filter_map(|line| line.strip_prefix("Inst "));
        wanted.extend(missing.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())));
    }
    run(Command::new("apt-get").arg("download").args(&wanted))?;
    let files = fs::read_dir(fresh).map_err(|e| e.to_string())?;
    for file in files.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|it| it == "deb") {
            run(Command::new("dpkg").arg("-x").arg(file).arg("root"))?;
        }
    }
    Ok(())
}
