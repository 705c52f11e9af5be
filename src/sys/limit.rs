//! The file size limit of this process. A write beyond it raises SIGXFSZ, which kills a process
//! that has no handler for it. No write of this crate raises it.

#[cfg_attr(target_os = "linux", path = "limit/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "limit/portable.rs")]
mod system;

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Runs a write that makes a file `end` bytes long.
///
/// # Errors
/// `FileTooLarge`, before anything is written, if that is beyond the limit. The same if the file
/// has become longer meanwhile, so that the write begins beyond the limit.
pub(crate) fn within<T>(end: u64, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match getrlimit(Resource::Fsize).current {
        None => write(),
        Some(limit) if end > limit => Err(Errno::FBIG.into()),
        Some(_) => system::without_signal(write),
    }
}
