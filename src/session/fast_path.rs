//! Where a task does file work in place: a turn that nobody contends for is some thirty quick calls, and the way over the blocking
//! pool and back takes longer than they do. Only in directories that are known to be on a local filesystem, and only while the disk is quick.
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::place::Place;
use crate::sys::filesystem;

/// The directories, as they were named, that were found on a local filesystem.
static NEAR: LazyLock<RwLock<HashSet<PathBuf>>> = LazyLock::new(RwLock::default);
/// Forgetting costs a detour over the blocking pool.
const MOST_NEAR: usize = 1 << 12;

/// Work in place that takes longer has held up other tasks: the disk is busy, and changes of directories wait for its journal …
const SLOW: Duration = Duration::from_millis(1);
/// … so that for a while the blocking pool does the work.
const DETOUR: Duration = Duration::from_millis(100);
static DETOUR_UNTIL: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether the session's directory is known to be on a local filesystem, and that to be quick.
pub(crate) fn is_near(session: &Path) -> bool {
    session.parent().is_some_and(|dir| NEAR.read().contains(dir)) && is_quick()
}

/// Remembers the directory of `session`, resolved as `place`, if it is on a filesystem that was met before and is local.
pub(crate) fn remember_if_near(session: &Path, place: &Place) {
    let Some(dir) = session.parent() else { return };
    // What a relative path means changes with the working directory.
    if dir.is_relative() {
        return;
    }
    if NEAR.read().contains(dir) {
        return;
    }
    if filesystem::is_local(place.dir().id().device()) {
        let mut near = NEAR.write();
        if near.len() >= MOST_NEAR {
            near.clear();
        }
        near.insert(dir.to_owned());
    }
}

/// Whether work in place has been quick lately.
pub(crate) fn is_quick() -> bool {
    let mut until = DETOUR_UNTIL.lock();
    if until.is_some_and(|until| until <= Instant::now()) {
        *until = None;
    }
    until.is_none()
}

/// Does a piece of file work in place, and notes if that was slow.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    if began.elapsed() >= SLOW {
        *DETOUR_UNTIL.lock() = Some(Instant::now() + DETOUR);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_work_in_place_sends_what_follows_on_a_detour_for_a_while() {
        in_place(|| std::thread::sleep(SLOW));
        assert!(!is_quick());
        // Others may be slow meanwhile, and prolong it.
        while !is_quick() {
            std::thread::sleep(DETOUR / 10);
        }
    }
}
