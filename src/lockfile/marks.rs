//! Marks: hints of life on a lock file that neither take nor disturb its `flock`.
//!
//! Open-file-description locks on two bytes far beyond the record. They are hints only; no invariant rests on them, and they are
//! skipped on network filesystems, where they collide with an emulated `flock`.

use std::fs::File;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod ofd {
    use super::File;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    /// Shared by all waiters.
    pub(super) const WAITING: i64 = 1 << 40;
    /// Exclusively the holder's.
    pub(super) const HOLDING: i64 = WAITING + 1;

    fn lock(kind: i32, byte: i64) -> libc::flock {
        libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: byte, l_len: 1, l_pid: 0 }
    }

    pub(super) fn set(file: &File, kind: i32, byte: i64) {
        // A hint that cannot be given is not missed.
        let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&lock(kind, byte)));
    }

    pub(super) fn is_set(file: &File, kind: i32, byte: i64) -> bool {
        let mut found = lock(kind, byte);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)).is_ok() && i32::from(found.l_type) != libc::F_UNLCK
    }

    pub(super) use libc::{F_RDLCK, F_UNLCK, F_WRLCK};
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod ofd {
    use super::File;
    pub(super) const WAITING: i64 = 0;
    pub(super) const HOLDING: i64 = 1;
    pub(super) const F_RDLCK: i32 = 0;
    pub(super) const F_WRLCK: i32 = 1;
    pub(super) const F_UNLCK: i32 = 2;

    pub(super) fn set(_: &File, _: i32, _: i64) {}

    /// Without marks a holder always assumes that somebody waits: it leaves its file, and the keeper unlinks later.
    pub(super) fn is_set(_: &File, _: i32, byte: i64) -> bool {
        byte == WAITING
    }
}

/// A waiter says that it waits.
pub(crate) fn wait(file: &File) {
    ofd::set(file, ofd::F_RDLCK, ofd::WAITING);
}

/// A waiter has got the lock.
pub(crate) fn end_wait(file: &File) {
    ofd::set(file, ofd::F_UNLCK, ofd::WAITING);
}

/// Whether anybody waits through another descriptor.
pub(crate) fn somebody_waits(file: &File) -> bool {
    ofd::is_set(file, ofd::F_WRLCK, ofd::WAITING)
}

/// The holder says that it lives.
pub(crate) fn hold(file: &File) {
    ofd::set(file, ofd::F_WRLCK, ofd::HOLDING);
}

/// The holder is about to let go.
pub(crate) fn end_hold(file: &File) {
    ofd::set(file, ofd::F_UNLCK, ofd::HOLDING);
}

/// Whether a living holder has marked this file through another descriptor.
pub(crate) fn somebody_holds(file: &File) -> bool {
    ofd::is_set(file, ofd::F_RDLCK, ofd::HOLDING)
}
