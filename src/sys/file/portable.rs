//! Files with what every Unix has.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, RawMode};
use rustix::io::Errno;

use super::{Stat, stat_path};

/// The file's mode may forbid opening it, so it is looked at and changed by its path. Another file
/// that is put there in between is changed instead; a link is never followed.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
pub(super) fn set_mode(path: &Path, right: impl FnOnce(&Stat) -> Option<u32>) -> io::Result<()> {
    let named = stat_path(path)?.ok_or(Errno::NOENT)?;
    let Some(mode) = right(&named) else { return Ok(()) };
    // A mode has 16 bits on some systems, and permissions have 12.
    let mode = Mode::from_raw_mode(mode as RawMode);
    Ok(rustix::fs::chmodat(CWD, path, mode, AtFlags::SYMLINK_NOFOLLOW)?)
}
