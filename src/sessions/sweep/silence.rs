//! What gave no answer: entries whose system calls have not returned for long.
//!
//! Each keeps a thread that nobody can take back. They are remembered for the whole process until
//! they return, so that neither another entry of a dead mount nor the next call costs one more.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::sys::filesystem;

/// So many silent entries make their directory silent.
const PER_DIRECTORY: usize = 2;
/// So many directories with silent entries make their mount silent.
const PER_MOUNT: usize = 3;

/// An entry that gave no answer.
#[derive(Debug)]
struct Silent {
    path: PathBuf,
    mount: Option<PathBuf>,
    /// The process that waits for it: a fork does not.
    pid: u32,
}

static SILENT: Mutex<Vec<Silent>> = Mutex::new(Vec::new());
/// Their number, so that where all goes well nobody waits for the mutex.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether anything is silent.
pub(super) fn is_anywhere() -> bool {
    COUNT.load(Ordering::Acquire) > 0
}

/// Whether work on this entry would probably hang, because it still does, or others of its
/// directory or mount do.
pub(super) fn expects_no_answer(path: &Path) -> bool {
    let silent = SILENT.lock();
    let me = std::process::id();
    let ours = || silent.iter().filter(|silent| silent.pid == me);
    let beside = ours().filter(|silent| silent.path.parent() == path.parent()).count();
    beside >= PER_DIRECTORY
        || ours().any(|silent| silent.path == path)
        || ours().count() >= PER_MOUNT && is_on_silent_mount(path, ours())
}

fn is_on_silent_mount<'a>(path: &Path, silent: impl Iterator<Item = &'a Silent>) -> bool {
    let Some(mount) = filesystem::mount_point(path) else { return false };
    let on_it = silent.filter(|silent| silent.mount.as_ref() == Some(&mount));
    on_it.map(|silent| silent.path.parent()).collect::<HashSet<_>>().len() >= PER_MOUNT
}

/// The list of what is silent, for a change.
pub(super) struct Listing(MutexGuard<'static, Vec<Silent>>);

impl Listing {
    pub(super) fn open() -> Self {
        Self(SILENT.lock())
    }

    /// Work on this entry was abandoned.
    pub(super) fn add(&mut self, path: PathBuf) {
        let mount = filesystem::mount_point(&path);
        self.0.push(Silent { path, mount, pid: std::process::id() });
        COUNT.store(self.0.len(), Ordering::Release);
    }

    /// Abandoned work on this entry has returned.
    pub(super) fn remove(&mut self, path: &Path) {
        let me = std::process::id();
        let found = self.0.iter().position(|silent| silent.pid == me && silent.path == path);
        found.map(|index| self.0.swap_remove(index));
        COUNT.store(self.0.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_silent_alone_and_many_are_with_their_directory_and_their_mount() {
        let path = |name: &str| Path::new("/proc/no-such-directory").join(name);
        let add = |name| Listing::open().add(path(name));
        let remove = |name| Listing::open().remove(&path(name));
        add("a/1");
        assert!(expects_no_answer(&path("a/1")) && !expects_no_answer(&path("a/2")));
        add("a/2");
        assert!(expects_no_answer(&path("a/3")) && !expects_no_answer(&path("b/1")));
        add("b/1");
        assert!(!expects_no_answer(&path("b/2")) && !expects_no_answer(&path("c/1")));
        add("c/1");
        assert!(expects_no_answer(&path("d/1")), "the mount");
        assert!(!expects_no_answer(Path::new("/no-such-directory/d/1")), "another mount");
        remove("b/1");
        assert!(!expects_no_answer(&path("d/1")) && expects_no_answer(&path("a/3")));
        ["a/1", "a/2", "c/1"].into_iter().for_each(remove);
        assert!(!expects_no_answer(&path("a/1")));
    }
}
