//! The command of `turnlock run`: it gets the locked descriptor and turnlock's signals.

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

/// Runs the command to its end. Must be called on the main thread: the command's parent-death
/// signal comes when the calling thread ends.
pub(super) fn run(turn: &Turn, command: &[OsString]) -> Result<ExitCode, Failure> {
    let failed = |e: io::Error| Failure::new(format!("cannot start the command: {e}"));
    // From here on signals are for the command. Those that come before it runs are kept for it.
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

/// The command's exit code, or 128 + N if signal N ended it, as in shells.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
