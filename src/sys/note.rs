//! A note on a file: a short extended attribute of our own.

#[cfg_attr(target_os = "linux", path = "note/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "note/portable.rs")]
mod system;

use std::fs::File;
use std::io;

/// Notes these bytes on a file, in place of those that were noted before.
///
/// # Errors
/// `Unsupported` where there are no such notes.
pub(crate) fn set(file: &File, note: &[u8]) -> io::Result<()> {
    system::set(file, note)
}

/// Returns what was noted on a file. `None` if nothing was, or if it cannot be told.
pub(crate) fn get(file: &File) -> Option<Vec<u8>> {
    system::get(file)
}
