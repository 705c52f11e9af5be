//! Fast path: runs short file operations on the async thread instead of the blocking pool.
//!
//! An uncontended turn is some thirty quick system calls. The way over the blocking pool and back
//! takes longer than they do. The fast path is used only in directories that are known to be on a
//! local filesystem, and only while the disk is quick.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::mode::Disk;
use crate::mode::in_place::BY_TASKS;
use crate::place::Place;
use crate::sys::{Device, filesystem};

/// What is known of a directory, as callers named it.
#[derive(Debug, Clone, Copy)]
struct Known {
    device: Device,
    is_local: bool,
}

static KNOWN_DIRS: LazyLock<RwLock<HashMap<PathBuf, Known>>> = LazyLock::new(RwLock::default);
/// Beyond that all are forgotten. To forget a directory costs a detour over the blocking pool.
const MAX_KNOWN_DIRS: usize = 1 << 12;

/// An operation that takes this long holds up other tasks. The disk is busy, and changes of
/// directories wait for its journal.
const SLOW: Duration = Duration::from_millis(1);
/// For how long the fast path is closed after a slow operation.
const CLOSED_FOR: Duration = Duration::from_millis(100);
static CLOSED_UNTIL: Mutex<Option<Instant>> = Mutex::new(None);

fn known(session: &Path) -> Option<Known> {
    KNOWN_DIRS.read().get(session.parent()?).copied()
}

/// Whether the fast path can be used for a session: its directory is known to be local, and the
/// disk has been quick lately.
pub(crate) fn is_open_for(session: &Path) -> bool {
    known(session).is_some_and(|dir| dir.is_local) && is_open()
}

/// Which disk is asked for a session.
pub(crate) fn disk_of(session: &Path) -> Disk {
    match known(session) {
        Some(dir) => Disk::Device(dir.device),
        None => Disk::Of(session.parent().unwrap_or(session).to_owned()),
    }
}

/// Remembers the directory of `session`, which was resolved to `place`.
pub(crate) fn remember(session: &Path, place: &Place) {
    let Some(dir) = session.parent() else { return };
    // What a relative path means changes with the working directory.
    if dir.is_relative() {
        return;
    }
    let device = place.dir().id().device();
    let found = Known { device, is_local: filesystem::is_local(device) };
    let is_known = |known: &Known| known.is_local == found.is_local && known.device == device;
    if KNOWN_DIRS.read().get(dir).is_some_and(is_known) {
        return;
    }
    let mut dirs = KNOWN_DIRS.write();
    if dirs.len() >= MAX_KNOWN_DIRS {
        dirs.clear();
    }
    dirs.insert(dir.to_owned(), found);
}

/// Whether the disk has been quick lately, and nobody is stuck on it.
pub(crate) fn is_open() -> bool {
    let mut until = CLOSED_UNTIL.lock();
    if until.is_some_and(|until| until <= Instant::now()) {
        *until = None;
    }
    until.is_none() && !BY_TASKS.is_any_longer_than(SLOW)
}

/// Runs a file operation in place. While it is slow, and for a while afterwards, the fast path is
/// closed.
pub(crate) fn run<T>(operation: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = BY_TASKS.run(operation);
    if began.elapsed() >= SLOW {
        *CLOSED_UNTIL.lock() = Some(Instant::now() + CLOSED_FOR);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_is_stuck_has_closed_the_fast_path() {
        run(|| {
            std::thread::sleep(SLOW * 2);
            assert!(!is_open());
        });
    }

    #[test]
    fn a_slow_operation_closes_the_fast_path_for_a_while() {
        run(|| std::thread::sleep(SLOW));
        assert!(!is_open());
        // Other tests may be slow meanwhile, and prolong it.
        while !is_open() {
            std::thread::sleep(CLOSED_FOR / 10);
        }
    }
}
