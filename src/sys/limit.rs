//! The file size limit of this process.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Checks that a file of `end` bytes is within the limit.
///
/// # Errors
/// `FileTooLarge` if it is not. To exceed the limit would raise SIGXFSZ, which kills a process that
/// has no handler for it.
pub(crate) fn ensure_within(end: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if end > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}
