//! A process by a handle. An id can be given to another process; a handle always means the same
//! one.

#[cfg_attr(target_os = "linux", path = "handle/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "handle/portable.rs")]
mod system;

use std::io;
use std::time::Duration;

/// How a process is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is asked to end: SIGTERM.
    Ask,
    /// It is killed: SIGKILL.
    Kill,
}

/// An open process.
pub(crate) struct Handle(system::Handle);

impl Handle {
    /// Opens process `pid`; `None` if there is no such process.
    ///
    /// # Errors
    /// `Unsupported` on a system without process handles.
    pub(crate) fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(pid) = super::id(pid) else { return Ok(None) };
        Ok(system::Handle::open(pid)?.map(Self))
    }

    /// Ends the process. It is no error if it has ended already.
    pub(crate) fn end(&self, how: End) -> io::Result<()> {
        self.0.end(how)
    }

    /// Whether the process ends within `limit`. Blocks until then.
    pub(crate) fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        self.0.ends_within(limit)
    }
}
