//! Fast path: runs short file operations on the async thread instead of the blocking pool.
//!
//! An uncontended turn is some thirty quick system calls. The way over the blocking pool and back
//! takes longer than they do. The fast path is used only in directories that are known to be on a
//! local filesystem, and only while the disk is quick.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::place::Place;
use crate::sys::filesystem;

/// The directories, as callers named them, that were found to be on a local filesystem.
static LOCAL_DIRS: LazyLock<RwLock<HashSet<PathBuf>>> = LazyLock::new(RwLock::default);
/// Beyond that the set is emptied. To forget a directory costs a detour over the blocking pool.
const MAX_LOCAL_DIRS: usize = 1 << 12;

/// An operation that takes this long has held up other tasks. The disk is busy, and changes of
/// directories wait for its journal.
const SLOW: Duration = Duration::from_millis(1);
/// For how long the fast path is closed after a slow operation.
const CLOSED_FOR: Duration = Duration::from_millis(100);
static CLOSED_UNTIL: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether the fast path can be used for a session: its directory is known to be local, and the
/// disk has been quick lately.
pub(crate) fn is_open_for(session: &Path) -> bool {
    session.parent().is_some_and(|dir| LOCAL_DIRS.read().contains(dir)) && is_open()
}

/// Remembers the directory of `session`, which was resolved to `place`, if it is on a filesystem
/// that is already known to be local.
pub(crate) fn remember_if_local(session: &Path, place: &Place) {
    let Some(dir) = session.parent() else { return };
    // What a relative path means changes with the working directory.
    if dir.is_relative() {
        return;
    }
    if LOCAL_DIRS.read().contains(dir) {
        return;
    }
    if filesystem::is_known_to_be_local(place.dir()) {
        let mut dirs = LOCAL_DIRS.write();
        if dirs.len() >= MAX_LOCAL_DIRS {
            dirs.clear();
        }
        dirs.insert(dir.to_owned());
    }
}

/// Whether the place that was found for `session` is local indeed: something else may have been
/// mounted there since.
pub(crate) fn is_still_local(session: &Path, place: &Place) -> bool {
    let is_local = filesystem::is_known_to_be_local(place.dir());
    if !is_local && let Some(dir) = session.parent() {
        LOCAL_DIRS.write().remove(dir);
    }
    is_local
}

/// Whether the disk has been quick lately.
pub(crate) fn is_open() -> bool {
    let mut until = CLOSED_UNTIL.lock();
    if until.is_some_and(|until| until <= Instant::now()) {
        *until = None;
    }
    until.is_none()
}

/// Runs a file operation in place. If it was slow, the fast path is closed for a while.
pub(crate) fn run<T>(operation: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = operation();
    if began.elapsed() >= SLOW {
        *CLOSED_UNTIL.lock() = Some(Instant::now() + CLOSED_FOR);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

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
