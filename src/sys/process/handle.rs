//! A process by a handle. Its id may be given to another process; the handle means this one only.

use std::io;
use std::time::Duration;

/// How a process is made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Asked: SIGTERM.
    Ask,
    /// Killed: SIGKILL.
    Kill,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::Handle;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Handle;

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Instant;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    use super::{Duration, End, io};

    /// A process that was opened by its id.
    pub(crate) struct Handle(std::os::fd::OwnedFd);

    impl Handle {
        /// `None` if there is no such process; `Unsupported` where there are no handles.
        pub(crate) fn open(pid: i32) -> io::Result<Option<Self>> {
            let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else {
                return Ok(None);
            };
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(handle) => Ok(Some(Self(handle))),
                Err(Errno::SRCH) => Ok(None),
                Err(Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
                Err(e) => Err(e.into()),
            }
        }

        /// Makes it end. One that has ended already is no error.
        pub(crate) fn end(&self, how: End) -> io::Result<()> {
            let signal = match how {
                End::Ask => Signal::TERM,
                End::Kill => Signal::KILL,
            };
            match pidfd_send_signal(&self.0, signal) {
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(e) => Err(e.into()),
            }
        }

        /// Whether it has ended by then.
        pub(crate) fn ends_within(&self, limit: Duration) -> io::Result<bool> {
            let until = Instant::now() + limit;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                let wait = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
                match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&wait)) {
                    Ok(ready) => return Ok(ready > 0),
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::{Duration, End, io};

    /// There are no such handles here, and nobody is ended by number.
    pub(crate) enum Handle {}

    impl Handle {
        pub(crate) fn open(_pid: i32) -> io::Result<Option<Self>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn end(&self, _how: End) -> io::Result<()> {
            match *self {}
        }

        pub(crate) fn ends_within(&self, _limit: Duration) -> io::Result<bool> {
            match *self {}
        }
    }
}
