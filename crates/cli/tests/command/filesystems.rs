//! `turnlock stress` on filesystems of several kinds.

use std::path::Path;
use std::process::Command;

use turnlock_testing::disk::{Disk, Kind};
use turnlock_testing::mount::{Overlay, tmpfs};
use turnlock_testing::{ended, fed, in_a_namespace, room, test_name};

use crate::program::turnlock;

/// Processes share sessions there, some are killed, and a checker reads them back.
fn sessions_are_shared_at(dir: &Path) {
    let mut stress = turnlock(["stress", "--kill", "--seconds", "2", "--dir"]);
    let answer = ended(stress.arg(dir));
    assert_eq!(answer.code, Some(0), "{answer:?}");
}

#[test]
fn sessions_are_shared_on_tmpfs() {
    in_a_namespace(&test_name!(), || {
        let dir = tempfile::tempdir().unwrap();
        if tmpfs(dir.path()) {
            sessions_are_shared_at(&dir.path().join("sessions"));
        }
    });
}

#[test]
fn sessions_are_shared_on_xfs() {
    in_a_namespace(&test_name!(), || {
        if let Some(disk) = Disk::new(Kind::Xfs) {
            sessions_are_shared_at(&disk.point().join("sessions"));
        }
    });
}

#[test]
fn sessions_are_shared_on_btrfs() {
    in_a_namespace(&test_name!(), || {
        if let Some(disk) = Disk::new(Kind::Btrfs) {
            sessions_are_shared_at(&disk.point().join("sessions"));
        }
    });
}

#[test]
fn sessions_are_shared_on_an_overlay() {
    in_a_namespace(&test_name!(), || {
        let dir = tempfile::tempdir().unwrap();
        if let Some(overlay) = Overlay::new(dir.path(), |_| ()) {
            sessions_are_shared_at(&overlay.point.join("sessions"));
        }
    });
}

/// A server of NFS may take a wait for a lock for a deadlock.
#[test]
fn a_suspected_deadlock_is_no_failure() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: there is no strace");
        return;
    }
    for nth in 1..=3 {
        let room = room();
        let inject = format!("inject=flock:error=EDEADLK:when={nth}");
        let mut traced = Command::new("strace");
        traced.args(["-f", "-o", "/dev/null", "-e", "trace=flock", "-e", &inject]);
        traced.args([env!("CARGO_BIN_EXE_turnlock"), "append"]).arg(&room.session);
        let told = fed(traced, "{\"a\":1}\n");
        assert_eq!(told.code, Some(0), "{nth}: {told:?}");
        assert_eq!(room.text(), "{\"a\":1}\n");
    }
}
