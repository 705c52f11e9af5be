//! Range locks on Linux: `F_OFD_SETLK` and `F_OFD_GETLK`.

use std::fs::File;
use std::ops::Range;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::Kind;

pub(super) fn set(file: &File, kind: Option<Kind>, bytes: &Range<i64>) {
    let kind = kind.map_or(libc::F_UNLCK, number);
    // It is only a hint, so a failure does no harm.
    let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&lock(kind, bytes)));
}

pub(super) fn is_in_the_way(file: &File, kind: Kind, bytes: &Range<i64>) -> Option<bool> {
    let mut found = lock(number(kind), bytes);
    let is_told = fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)).is_ok();
    Some(is_told && i32::from(found.l_type) != libc::F_UNLCK)
}

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
