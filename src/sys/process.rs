//! Facts about a process, found by its id.
//!
//! They serve to judge foreign owner records only: for our own protocol the kernel's lock tells
//! the living from the dead. Two rules apply throughout:
//!
//! - What cannot be seen is *unknown*, never *dead* (`EPERM`, a hidden `/proc`, a sandbox).
//! - A process id means something only in its own PID namespace. A `/proc` of another namespace is
//!   not read at all. A [`Census`] finds the processes of the namespaces below ours.

mod census;
#[cfg(feature = "gateway")]
mod handle;
#[cfg(target_os = "linux")]
mod linux;
mod own;
// The tests on Linux compare it with /proc.
#[cfg(any(test, not(target_os = "linux")))]
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
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

pub(crate) use census::{Census, container};
#[cfg(feature = "gateway")]
pub(crate) use handle::{End, Handle};
#[cfg(all(feature = "gateway", target_os = "linux"))]
pub(crate) use linux::proc_is_ours;
pub(crate) use own::own;

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessState {
    /// There is no such process in our PID namespace.
    Gone,
    /// It has ended, and its parent has not waited for it yet. It holds nothing any more.
    Zombie,
    /// It runs, sleeps or is stopped.
    Alive,
    /// The system does not let us see.
    Unknown,
}

/// Returns the state of process `pid`. An id that no process can have is [`ProcessState::Gone`].
pub(crate) fn state(pid: i32) -> ProcessState {
    let Some(id) = id(pid) else {
        return ProcessState::Gone;
    };
    match test_kill_process(id) {
        Err(Errno::SRCH) => ProcessState::Gone,
        // EPERM: the process exists and belongs to another user.
        Ok(()) | Err(Errno::PERM) if system::is_zombie(pid) => ProcessState::Zombie,
        Ok(()) | Err(Errno::PERM) => ProcessState::Alive,
        Err(_) => ProcessState::Unknown,
    }
}

/// Returns when process `pid` was started, in clock ticks since boot; `None` if there is no such
/// process.
///
/// This is field 22 of `/proc/<pid>/stat`. Together with the id it tells a process from a later
/// one with the same id.
///
/// # Errors
/// If the start time cannot be read though the process may exist. On systems without such a `/proc`
/// that is always so: their start times have another unit, and compared with a record they would
/// make every owner look recycled.
pub(crate) fn start_time(pid: i32) -> io::Result<Option<u64>> {
    if id(pid).is_none() {
        return Ok(None);
    }
    match system::start_time(pid) {
        Ok(ticks) => Ok(Some(ticks)),
        // With `hidepid`, another user's living process is missing from /proc.
        Err(_) if state(pid) == ProcessState::Gone => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the time namespace of process `pid` is hidden from us, as another user's is.
pub(crate) fn clock_unseen(pid: i32) -> bool {
    system::clock_unseen(pid)
}

/// Returns when process `pid` was started, by the wall clock as it is set now.
///
/// Accurate to a few hundredths of a second on Linux, and to a second elsewhere.
pub(crate) fn started_at(pid: i32) -> Option<Timestamp> {
    id(pid)?;
    system::started_at(pid)
}

/// Whether process `pid` is `ancestor`, or one of its descendants by the parents that it has now.
#[cfg(feature = "gateway")]
pub(crate) fn descends_from(pid: i32, ancestor: i32) -> bool {
    /// A bound: ids may be given anew while this looks.
    const MOST: usize = 1000;
    let parent = |pid: &i32| {
        id(*pid)?;
        system::parent(*pid)
    };
    std::iter::successors(Some(pid), parent).take(MOST).any(|pid| pid == ancestor)
}

/// Returns the id that process `pid` has in its own PID namespace.
#[cfg(feature = "gateway")]
pub(crate) fn innermost_id(pid: i32) -> Option<i32> {
    id(pid)?;
    system::ids(pid).last().copied()
}

/// Returns the command line of process `pid`, without empty words.
///
/// `None` if it cannot be read or has no words, as that of a zombie. A kernel thread, which has
/// none either, is named as such.
pub(crate) fn command_line(pid: i32) -> Option<Vec<OsString>> {
    id(pid)?;
    system::command_line(pid).filter(|words| !words.is_empty())
}

/// Returns when this machine was started, by the wall clock as it is set now.
///
/// The value is not cached. It moves when the clock is set, and so stays comparable with times
/// written since.
pub(crate) fn boot_time() -> Option<Timestamp> {
    system::boot_time()
}

/// Returns the numeric id of the user that this process runs as.
#[cfg(feature = "gateway")]
pub(crate) fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Returns `pid` as the id of one process. To `kill`, zero and negative numbers mean groups.
fn id(pid: i32) -> Option<Pid> {
    (pid > 0).then(|| Pid::from_raw(pid)).flatten()
}
