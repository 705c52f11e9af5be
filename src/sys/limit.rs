//! The file size limit of this process.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Refuses what would make a file longer than it may be: the kernel would kill a process that does not expect its signal.
pub(crate) fn ensure_within(end: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if end > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}
