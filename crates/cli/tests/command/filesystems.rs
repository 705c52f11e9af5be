//! `turnlock stress` on filesystems of several kinds.

use std::path::Path;

use turnlock_testing::disk::{Disk, Kind};
use turnlock_testing::mount::{Overlay, tmpfs};
use turnlock_testing::{ended, in_a_namespace, test_name};

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
