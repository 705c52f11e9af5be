//! What is known about the mounts that this process has met. Each is looked up once.
//!
//! A mount is known by its identity, not by its device number: after an unmount, the next mount may
//! have that number. An open directory keeps what is known of its mount.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::RwLock;

use super::super::Dir;
use super::super::dir::Mount;
use super::{KeepsLocks, Locality, filesystem, knowledge, probe};

/// What is known about a mount.
#[derive(Debug)]
pub(in crate::sys) struct Known {
    locality: Locality,
    is_served: bool,
    wakes_waiters: bool,
    /// What its kind and its options say about locks.
    verdict: Verdict,
    /// What the trial showed: why locks are not kept there, if they are not.
    tried: OnceLock<Option<String>>,
}

#[derive(Debug)]
enum Verdict {
    Keeps,
    /// Its locks need a trial before the first use.
    WantsTrial,
    Refuses(String),
}

static MOUNTS: LazyLock<RwLock<HashMap<Mount, Arc<Known>>>> = LazyLock::new(RwLock::default);
/// When there are so many, they are forgotten, at the cost of one more look at each.
const MANY: usize = 1 << 10;

/// Returns why the filesystem of a directory does not keep locks, or `None` if it keeps them.
///
/// A local filesystem is known by its kind. On others the locks are tried, once per mount.
pub(crate) fn refusal(dir: &Dir) -> Option<String> {
    let known = known(dir);
    match &known.verdict {
        Verdict::Keeps => None,
        Verdict::Refuses(reason) => Some(reason.clone()),
        Verdict::WantsTrial => {
            let tried = || probe(dir).ok().and_then(|report| report.refusal());
            known.tried.get_or_init(tried).clone()
        }
    }
}

/// Looks up the mount of a directory, before its lock files are looked at. Tries no locks.
pub(crate) fn ask_mount(dir: &Dir) {
    known(dir);
}

/// Whether other hosts may share the mount of this directory.
pub(crate) fn is_remote(dir: &Dir) -> bool {
    known(dir).locality == Locality::Remote
}

/// Whether the mount of this directory is on this machine, so that no server and no daemon delays
/// its calls.
pub(crate) fn is_local(dir: &Dir) -> bool {
    known(dir).locality == Locality::Local
}

/// Whether the files of this directory are on a server that also keeps their locks, for several
/// hosts. Names are then looked up at the server (I18).
pub(crate) fn is_served(dir: &Dir) -> bool {
    known(dir).is_served
}

/// The same of a mount, as far as it is known already: nobody is asked.
pub(crate) fn is_known_to_be_served(mount: Mount) -> bool {
    MOUNTS.read().get(&mount).is_some_and(|known| known.is_served)
}

/// The same, as far as it is known already: nobody is asked.
pub(crate) fn is_known_to_be_local(dir: &Dir) -> bool {
    let is_local = |known: &Arc<Known>| known.locality == Locality::Local;
    match dir.known_mount().get() {
        Some(known) => is_local(known),
        None => MOUNTS.read().get(&dir.mount()).is_some_and(is_local),
    }
}

/// Whether byte-range marks work beside a `flock` there. Network filesystems turn the `flock` into
/// a lock on bytes, which conflicts with the marks.
pub(crate) fn marks_usable(dir: &Dir) -> bool {
    is_local(dir)
}

/// Whether who waits there for a lock is granted it soon after it is free.
pub(crate) fn wakes_waiters(dir: &Dir) -> bool {
    known(dir).wakes_waiters
}

fn known(dir: &Dir) -> &Known {
    dir.known_mount().get_or_init(|| {
        let met = MOUNTS.read().get(&dir.mount()).cloned();
        met.unwrap_or_else(|| {
            let known = Arc::new(ask(dir));
            let mut mounts = MOUNTS.write();
            if mounts.len() >= MANY {
                mounts.clear();
            }
            mounts.insert(dir.mount(), Arc::clone(&known));
            known
        })
    })
}

/// A filesystem that cannot be looked up is taken to be like most: local, and keeping locks.
fn ask(dir: &Dir) -> Known {
    let tried = OnceLock::new();
    let Ok(filesystem) = filesystem(dir) else {
        let (locality, verdict) = (Locality::Local, Verdict::Keeps);
        return Known { locality, is_served: false, wakes_waiters: true, verdict, tried };
    };
    let verdict = match &filesystem.keeps_locks {
        KeepsLocks::NotKept(why) => Verdict::Refuses(filesystem.refused(why)),
        _ if filesystem.wants_probe() => Verdict::WantsTrial,
        _ => Verdict::Keeps,
    };
    Known {
        locality: filesystem.locality,
        is_served: filesystem.is_served(),
        wakes_waiters: knowledge::wakes_waiters(&filesystem.kind),
        verdict,
        tried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_behind_a_daemon_or_a_server_is_not_taken_for_local() {
        for locality in [Locality::Local, Locality::Unknown, Locality::Remote] {
            let temporary = tempfile::tempdir().unwrap();
            let dir = Dir::open(temporary.path()).unwrap();
            let (is_served, wakes_waiters, tried) = (false, true, OnceLock::new());
            let verdict = Verdict::Keeps;
            let known = Known { locality, is_served, wakes_waiters, verdict, tried };
            dir.known_mount().set(Arc::new(known)).unwrap();
            assert_eq!(is_local(&dir), locality == Locality::Local);
            assert_eq!(marks_usable(&dir), locality == Locality::Local);
            assert_eq!(is_remote(&dir), locality == Locality::Remote);
        }
    }

    /// An anonymous device number is given to the next mount after an unmount.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_known_of_a_mount_says_nothing_of_the_next_one_at_its_place() {
        use std::os::unix::fs::MetadataExt;

        use turnlock_testing::mount::mounted;
        use turnlock_testing::{in_a_namespace, test_name};

        in_a_namespace(&test_name!(), || {
            let point = tempfile::tempdir().unwrap();
            let here = point.path().to_str().unwrap();
            let mount = |kind| mounted(&["-t", kind, "none", here]);
            let look = || {
                let dir = Dir::open(point.path()).unwrap();
                (point.path().metadata().unwrap().dev(), is_local(&dir))
            };
            // Other tests mount at the same time, and may be given the number first.
            for _ in 0..100 {
                if !mount("tmpfs") {
                    return;
                }
                let (old, is_local) = look();
                assert!(is_local);
                assert!(std::process::Command::new("umount").arg(here).status().unwrap().success());
                // A kind that may be anything.
                if !mount("bpf") {
                    return;
                }
                let (new, is_local) = look();
                assert!(!is_local, "it was taken for the one that was here before");
                assert!(std::process::Command::new("umount").arg(here).status().unwrap().success());
                if old == new {
                    return;
                }
            }
            eprintln!("skipped: the device number was never given again");
        });
    }

    #[test]
    fn two_directories_of_one_mount_share_what_is_known() {
        let [one, other] = [(), ()].map(|()| tempfile::tempdir().unwrap());
        let [one, other] = [one.path(), other.path()].map(|path| Dir::open(path).unwrap());
        assert_eq!(one.mount(), other.mount());
        assert!(std::ptr::eq(known(&one), known(&other)));
        assert_ne!(one.mount(), Dir::open(std::path::Path::new("/proc")).unwrap().mount());
    }
}
