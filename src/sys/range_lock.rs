//! Locks on ranges of bytes that belong to an open file description, as hints between processes.
//!
//! Only Linux has them beside `flock`. Elsewhere setting does nothing, and a test answers what the
//! caller asked for.

use std::fs::File;
use std::ops::Range;

/// How a range is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Shared,
    Exclusive,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use super::{File, Kind, Range};
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    fn lock(kind: i32, bytes: &Range<i64>) -> libc::flock {
        libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: bytes.start,
            l_len: bytes.end - bytes.start,
            l_pid: 0,
        }
    }

    fn number(kind: Kind) -> i32 {
        match kind {
            Kind::Shared => libc::F_RDLCK,
            Kind::Exclusive => libc::F_WRLCK,
        }
    }

    pub(super) fn set(file: &File, kind: Option<Kind>, bytes: &Range<i64>) {
        let kind = kind.map_or(libc::F_UNLCK, number);
        // A hint that cannot be given is not missed.
        let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&lock(kind, bytes)));
    }

    pub(super) fn is_in_the_way(file: &File, kind: Kind, bytes: &Range<i64>) -> Option<bool> {
        let mut found = lock(number(kind), bytes);
        let is_told = fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)).is_ok();
        Some(is_told && i32::from(found.l_type) != libc::F_UNLCK)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::{File, Kind, Range};

    pub(super) fn set(_: &File, _: Option<Kind>, _: &Range<i64>) {}

    pub(super) fn is_in_the_way(_: &File, _: Kind, _: &Range<i64>) -> Option<bool> {
        None
    }
}

/// Locks a range through this descriptor, if nobody is in the way.
pub(crate) fn set(file: &File, kind: Kind, bytes: Range<i64>) {
    system::set(file, Some(kind), &bytes);
}

/// Unlocks a range that was locked through this descriptor.
pub(crate) fn clear(file: &File, bytes: Range<i64>) {
    system::set(file, None, &bytes);
}

/// Whether a lock through another descriptor is in the way of this one; `None` where the system has
/// no such locks.
pub(crate) fn is_in_the_way(file: &File, kind: Kind, bytes: Range<i64>) -> Option<bool> {
    system::is_in_the_way(file, kind, &bytes)
}
