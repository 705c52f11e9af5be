//! A process by its descriptor: the id may be given anew, the descriptor means this one for ever.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Signal;

/// A process that was opened by its id.
#[cfg(target_os = "linux")]
pub(super) struct Process(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Process {
    /// `SRCH` if there is none.
    pub(super) fn open(pid: i32) -> Result<Self, Errno> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let pid = (pid > 0).then(|| Pid::from_raw(pid)).flatten().ok_or(Errno::SRCH)?;
        pidfd_open(pid, PidfdFlags::empty()).map(Self)
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        rustix::process::pidfd_send_signal(&self.0, signal)
    }

    /// Whether it has ended by then.
    pub(super) fn ends_within(&self, limit: Duration) -> Result<bool, Errno> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let until = std::time::Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            let wait = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&wait)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Elsewhere there are no such descriptors, and nobody is ended by number.
#[cfg(not(target_os = "linux"))]
pub(super) enum Process {}

#[cfg(not(target_os = "linux"))]
impl Process {
    pub(super) fn open(_pid: i32) -> Result<Self, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn signal(&self, _signal: Signal) -> Result<(), Errno> {
        match *self {}
    }

    pub(super) fn ends_within(&self, _limit: Duration) -> Result<bool, Errno> {
        match *self {}
    }
}
