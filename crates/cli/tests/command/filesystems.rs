//! `turnlock stress` on filesystems of several kinds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::disk::{Disk, Kind, in_a_namespace};
use super::harness::TURNLOCK;

/// Processes share sessions there, some are killed, and a checker reads them back.
fn sessions_are_shared_at(dir: &Path) {
    let mut stress = Command::new(TURNLOCK);
    stress.args(["stress", "--kill", "--seconds", "2", "--dir"]).arg(dir).stdin(Stdio::null());
    let output = stress.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn mounted(arguments: &[&str]) -> bool {
    let there =
        Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: no `mount {}`", arguments.join(" "));
    }
    there
}

#[test]
fn sessions_are_shared_on_tmpfs() {
    in_a_namespace("filesystems::sessions_are_shared_on_tmpfs", || {
        let dir = tempfile::tempdir().unwrap();
        if mounted(&["-t", "tmpfs", "tmpfs", dir.path().to_str().unwrap()]) {
            sessions_are_shared_at(&dir.path().join("sessions"));
        }
    });
}

#[test]
fn sessions_are_shared_on_xfs() {
    in_a_namespace("filesystems::sessions_are_shared_on_xfs", || {
        if let Some(disk) = Disk::new(Kind::Xfs) {
            sessions_are_shared_at(&disk.point().join("sessions"));
        }
    });
}

#[test]
fn sessions_are_shared_on_btrfs() {
    in_a_namespace("filesystems::sessions_are_shared_on_btrfs", || {
        if let Some(disk) = Disk::new(Kind::Btrfs) {
            sessions_are_shared_at(&disk.point().join("sessions"));
        }
    });
}

/// A layered filesystem, as containers have them: what is below cannot be written to.
fn overlay(room: &Path) -> Option<PathBuf> {
    // An overlay on an overlay is refused, as in most containers.
    mounted(&["-t", "tmpfs", "tmpfs", room.to_str().unwrap()]).then_some(())?;
    let [lower, upper, work, merged] =
        ["lower", "upper", "work", "merged"].map(|name| room.join(name));
    for dir in [&lower, &upper, &work, &merged] {
        fs::create_dir(dir).unwrap();
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    mounted(&["-t", "overlay", "overlay", "-o", &layers, merged.to_str().unwrap()])
        .then_some(merged)
}

#[test]
fn sessions_are_shared_on_an_overlay() {
    in_a_namespace("filesystems::sessions_are_shared_on_an_overlay", || {
        let dir = tempfile::tempdir().unwrap();
        if let Some(merged) = overlay(dir.path()) {
            sessions_are_shared_at(&merged.join("sessions"));
        }
    });
}
