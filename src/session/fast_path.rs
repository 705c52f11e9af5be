//! Fast path: runs short file operations on the async thread instead of the blocking pool.
//!
//! An uncontended turn is some thirty quick system calls. The way over the blocking pool and back
//! takes longer than they do. The fast path is used only in directories that are known to be on a
//! local filesystem, and only while the disk is quick: it has just done something, and nobody is
//! waiting for it in place for longer than usual.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::mode::Disk;
use crate::mode::in_place::{BY_TASKS, Moment, now, span};
use crate::place::Place;
use crate::sys::{Mount, filesystem};

/// What is known of a directory, as callers named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    mount: Mount,
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
static CLOSED_UNTIL: AtomicU64 = AtomicU64::new(0);

/// How long ago the disk has done something at most. It may hang since, and keep the thread.
const FRESH: Duration = Duration::from_millis(20);

/// When each disk has done something last. Two disks may share one.
static ANSWERED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

fn answered_at(mount: Mount) -> &'static AtomicU64 {
    &ANSWERED[mount.hash_number() % ANSWERED.len()]
}

/// Notes that the disk has just done something.
pub(crate) fn answered(mount: Mount) {
    answered_at(mount).store(now(), Ordering::Relaxed);
}

fn known(session: &Path) -> Option<Known> {
    KNOWN_DIRS.read().get(session.parent()?).copied()
}

/// Whether the directory of a session can be opened in place. It is known to be local, and nothing
/// is read or written for that.
pub(crate) fn can_find(session: &Path) -> bool {
    known(session).is_some_and(|dir| dir.is_local) && !is_closed(now())
}

/// Which disk is asked for a session.
pub(crate) fn disk_of(session: &Path) -> Disk {
    match known(session) {
        Some(dir) => Disk::Mount(dir.mount),
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
    let found = Known {
        mount: place.dir().mount(),
        is_local: filesystem::is_known_to_be_local(place.dir()),
    };
    if KNOWN_DIRS.read().get(dir).is_some_and(|known| *known == found) {
        return;
    }
    let mut dirs = KNOWN_DIRS.write();
    if dirs.len() >= MAX_KNOWN_DIRS {
        dirs.clear();
    }
    dirs.insert(dir.to_owned(), found);
}

/// Whether the place that was found for `session` is local indeed: something else may have been
/// mounted there since.
pub(crate) fn is_still_local(session: &Path, place: &Place) -> bool {
    let is_local = filesystem::is_known_to_be_local(place.dir());
    if !is_local && let Some(dir) = session.parent() {
        KNOWN_DIRS.write().remove(dir);
    }
    is_local
}

/// Whether a local disk is quick.
pub(crate) fn is_open(mount: Mount) -> bool {
    let (answered, now) = (answered_at(mount).load(Ordering::Relaxed), now());
    answered != 0 && now.saturating_sub(answered) < span(FRESH) && !is_closed(now)
}

/// Whether work in place was slow lately, or is slow now.
fn is_closed(now: Moment) -> bool {
    now < CLOSED_UNTIL.load(Ordering::Relaxed) || BY_TASKS.is_any_longer_than(SLOW, now)
}

/// Runs a file operation in place. While it is slow, and for a while afterwards, the fast path is
/// closed.
pub(crate) fn run<T>(operation: impl FnOnce() -> T) -> T {
    let began = now();
    let done = BY_TASKS.run(began, operation);
    let ended = now();
    if ended - began >= span(SLOW) {
        CLOSED_UNTIL.store(ended + span(CLOSED_FOR), Ordering::Relaxed);
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
            assert!(is_closed(now()));
        });
    }

    #[test]
    fn a_slow_operation_closes_the_fast_path_for_a_while() {
        run(|| std::thread::sleep(SLOW));
        assert!(is_closed(now()));
        // Other tests may be slow meanwhile, and prolong it.
        while is_closed(now()) {
            std::thread::sleep(CLOSED_FOR / 10);
        }
    }
}
