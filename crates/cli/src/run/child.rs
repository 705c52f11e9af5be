//! The command: started with the locked descriptor, sent what turnlock is sent, and waited for.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal};
use signal_hook::consts::SIGCHLD;
use turnlock::Turn;

use crate::failure::Failure;
use crate::{enclosing, exec, signals};

/// Runs the command to its end, on the main thread, with which its parent-death signal comes.
pub(super) fn run(turn: &Turn, command: &[OsString]) -> Result<ExitCode, Failure> {
    let failed = |e: io::Error| Failure::new(format!("cannot start the command: {e}"));
    // From here on what comes is for the command, and what comes before it is there is kept for it.
    let mut signals = signals::catch(&[SIGCHLD]).map_err(failed)?;
    let mut child = spawn(turn, command)?.map_err(failed)?;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(code(status));
        }
        for origin in signals.wait() {
            signals::pass_on(&origin, Pid::from_child(&child));
        }
    }
}

fn spawn(turn: &Turn, command: &[OsString]) -> Result<io::Result<Child>, Failure> {
    let mut own = exec::command(Signal::TERM, command)?;
    own.env(enclosing::VARIABLE, enclosing::variable_for(turn));
    let spawned = turn.with_lock_fd(|lock| {
        fcntl_setfd(lock, FdFlags::empty())?;
        let child = own.spawn();
        fcntl_setfd(lock, FdFlags::CLOEXEC)?;
        child
    });
    spawned.ok_or_else(|| Failure::new("the turn is over"))
}

/// The command's own code; 128 and the signal's number if a signal ended it, as shells have it.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
