//! A note on a file: a short extended attribute of our own.

#[cfg_attr(target_os = "linux", path = "note/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "note/portable.rs")]
mod system;

use std::fs::File;
use std::io;

/// What a note is about. There is one note about each on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// What the holder of a lock file has seen.
    Turn,
    /// How a session file came from the one before it.
    Rewrite,
    /// Which name a session file has lost: what has that name next is another session.
    End,
}

/// Notes these bytes on a file, in place of those that were noted before.
///
/// # Errors
/// `Unsupported` where there are no such notes.
pub(crate) fn set(file: &File, about: About, note: &[u8]) -> io::Result<()> {
    system::set(file, about, note)
}

/// Removes what was noted on a file.
///
/// # Errors
/// If nothing was noted, or it cannot be removed.
pub(crate) fn remove(file: &File, about: About) -> io::Result<()> {
    system::remove(file, about)
}

/// Returns what was noted on a file. `None` if nothing was, or if it cannot be told.
pub(crate) fn get(file: &File, about: About) -> Option<Vec<u8>> {
    system::get(file, about)
}
