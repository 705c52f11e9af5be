//! What can be known about a process by its id.
//!
//! Needed for foreign owner records only: for our own protocol the kernel's lock tells the living from the dead.
//! Two rules run through this file. What cannot be seen is *unknown*, never *dead* (`EPERM`, a hidden `/proc`, a sandbox).
//! And a process id means something only in its own PID namespace, so a `/proc` of another namespace is not read at all.

mod handle;
#[cfg(target_os = "linux")]
mod linux;
mod own;
mod portable;

#[cfg(test)]
#[cfg(target_os = "linux")]
pub(crate) mod tests;

use std::ffi::OsString;
use std::io;

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use portable as platform;

pub(crate) use handle::{End, Handle};
pub(crate) use own::own;

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessState {
    /// No such process in our PID namespace.
    Gone,
    /// It has ended; only its parent has not taken note yet. It holds nothing any more.
    Zombie,
    /// It runs, sleeps or is stopped.
    Alive,
    /// We are not let to see.
    Unknown,
}

/// The state of process `pid`. Ids that no process can have are [`ProcessState::Gone`].
pub(crate) fn state(pid: i32) -> ProcessState {
    let Some(id) = id(pid) else {
        return ProcessState::Gone;
    };
    match test_kill_process(id) {
        Err(Errno::SRCH) => ProcessState::Gone,
        // EPERM: there is such a process, of another user.
        Ok(()) | Err(Errno::PERM) if platform::is_zombie(pid) => ProcessState::Zombie,
        Ok(()) | Err(Errno::PERM) => ProcessState::Alive,
        Err(_) => ProcessState::Unknown,
    }
}

/// When process `pid` was started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`, which together with the
/// id tells a process from a later one of the same id. `None`: no such process.
///
/// # Errors
///
/// When it cannot be read though the process may exist. Always where there is no such `/proc`: the numbers that other
/// systems have are of another unit, and comparing them with a record would find every owner recycled.
pub(crate) fn start_time(pid: i32) -> io::Result<Option<u64>> {
    if id(pid).is_none() {
        return Ok(None);
    }
    match platform::start_time(pid) {
        Ok(ticks) => Ok(Some(ticks)),
        // With `hidepid` another user's process is missing from /proc and alive all the same.
        Err(_) if state(pid) == ProcessState::Gone => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether it cannot be seen if process `pid` lives in our time namespace: another user's may not be looked at.
pub(crate) fn clock_unseen(pid: i32) -> bool {
    #[cfg(target_os = "linux")]
    {
        platform::clock_unseen(pid)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        false
    }
}

/// Whether `/proc` has this process's own PID namespace, so that its numbers mean what they mean
/// elsewhere. `false` where there is no such `/proc`.
#[cfg(feature = "gateway")]
pub(crate) fn proc_is_ours() -> bool {
    #[cfg(target_os = "linux")]
    {
        platform::proc_is_ours()
    }
    #[cfg(not(target_os = "linux"))]
    {
        false
    }
}

/// When process `pid` was started, by the clock on the wall as it is set now; to a few hundredths of a second on Linux,
/// to a second elsewhere.
pub(crate) fn started_at(pid: i32) -> Option<Timestamp> {
    id(pid)?;
    platform::started_at(pid)
}

/// The command line of process `pid`; `None` if it cannot be read, or is empty as a kernel thread's.
pub(crate) fn command_line(pid: i32) -> Option<Vec<OsString>> {
    id(pid)?;
    platform::command_line(pid).filter(|words| !words.is_empty())
}

/// When this machine was started, by the clock on the wall as it is set now.
///
/// Not cached: when the clock is set, this moves with it, and so stays comparable with times written since.
pub(crate) fn boot_time() -> Option<Timestamp> {
    platform::boot_time()
}

/// The user that this process runs as, by number.
pub(crate) fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// `pid` as the id of one process; zero and negative numbers mean groups of processes to `kill`.
fn id(pid: i32) -> Option<Pid> {
    (pid > 0).then(|| Pid::from_raw(pid)).flatten()
}
