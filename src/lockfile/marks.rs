//! Marks: hints of life on a lock file that neither take nor disturb its `flock`.
//!
//! Open-file-description locks on three bytes far beyond the record. They are hints only; no invariant rests on them, and they are
//! skipped on network filesystems, where they collide with an emulated `flock`.

use std::fs::File;
use std::ops::Range;

/// Shared by all who let others go first, and by all who wait.
const YIELDING: Range<i64> = 1 << 40..(1 << 40) + 1;
const WAITING: Range<i64> = YIELDING.end..YIELDING.end + 1;
/// Exclusively the holder's.
const HOLDING: Range<i64> = WAITING.end..WAITING.end + 1;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod ofd {
    use super::{File, Range};
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    fn lock(kind: i32, bytes: Range<i64>) -> libc::flock {
        libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: bytes.start,
            l_len: bytes.end - bytes.start,
            l_pid: 0,
        }
    }

    pub(super) fn set(file: &File, kind: i32, bytes: Range<i64>) {
        // A hint that cannot be given is not missed.
        let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&lock(kind, bytes)));
    }

    pub(super) fn is_set(file: &File, kind: i32, bytes: Range<i64>) -> bool {
        let mut found = lock(kind, bytes);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)).is_ok()
            && i32::from(found.l_type) != libc::F_UNLCK
    }

    pub(super) use libc::{F_RDLCK, F_UNLCK, F_WRLCK};
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod ofd {
    use super::{File, HOLDING, Range};
    pub(super) const F_RDLCK: i32 = 0;
    pub(super) const F_WRLCK: i32 = 1;
    pub(super) const F_UNLCK: i32 = 2;

    pub(super) fn set(_: &File, _: i32, _: Range<i64>) {}

    /// Without marks a holder always assumes that somebody waits: it leaves its file, and the keeper unlinks later.
    pub(super) fn is_set(_: &File, _: i32, bytes: Range<i64>) -> bool {
        bytes != HOLDING
    }
}

/// A waiter says that it is about to wait, but lets the others go first.
pub(crate) fn let_others_go_first(file: &File) {
    ofd::set(file, ofd::F_RDLCK, YIELDING);
}

/// A waiter says that it waits.
pub(crate) fn wait(file: &File) {
    ofd::set(file, ofd::F_RDLCK, WAITING);
}

/// A waiter has got the lock.
pub(crate) fn end_wait(file: &File) {
    ofd::set(file, ofd::F_UNLCK, YIELDING.start..WAITING.end);
}

/// Whether anybody waits through another descriptor, or is about to.
pub(crate) fn somebody_waits(file: &File) -> bool {
    ofd::is_set(file, ofd::F_WRLCK, YIELDING.start..WAITING.end)
}

/// Whether anybody waits through another descriptor who lets nobody go first.
pub(crate) fn somebody_is_next(file: &File) -> bool {
    ofd::is_set(file, ofd::F_WRLCK, WAITING)
}

/// The holder says that it lives.
pub(crate) fn hold(file: &File) {
    ofd::set(file, ofd::F_WRLCK, HOLDING);
}

/// The holder is about to let go.
pub(crate) fn end_hold(file: &File) {
    ofd::set(file, ofd::F_UNLCK, HOLDING);
}

/// Whether a living holder has marked this file through another descriptor.
pub(crate) fn somebody_holds(file: &File) -> bool {
    ofd::is_set(file, ofd::F_RDLCK, HOLDING)
}
