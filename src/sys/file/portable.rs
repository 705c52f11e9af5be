//! Files with what every Unix has.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, RawMode};

use super::Stat;

/// The file's mode may forbid opening it, so it is looked at and changed by its name. Another file
/// that is put there in between is changed instead; a link is never followed.
pub(super) fn set_mode(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    right: impl FnOnce(&Stat) -> io::Result<Option<u32>>,
) -> io::Result<()> {
    let named = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let Some(mode) = right(&Stat::from(&named))? else { return Ok(()) };
    Ok(rustix::fs::chmodat(dir, name, mode_of(mode), AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(super) fn set_mode_of(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, mode_of(mode))?)
}

/// A look would move the cursor, which others may use.
pub(super) fn hole_at(_file: &File, _offset: u64) -> io::Result<u64> {
    Ok(0)
}

/// A mode has 16 bits on some systems, and permissions have 12.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
fn mode_of(mode: u32) -> Mode {
    Mode::from_raw_mode(mode as RawMode)
}
