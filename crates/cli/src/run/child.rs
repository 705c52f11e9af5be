//! The command of `turnlock run`: it gets the locked descriptor and turnlock's signals.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::thread;

use rustix::process::Pid;
use signal_hook::consts::SIGCHLD;
use turnlock::Turn;

use crate::failure::Failure;
use crate::reaper::{self, Purpose};
use crate::signals::Caught;
use crate::{children, enclosing, lend, output, signals};

/// How a command ended.
pub(super) struct Ended {
    pub(super) code: u8,
    /// Whether this process was told to end meanwhile.
    pub(super) told: bool,
    /// The signals of this process, which nobody heeds any more.
    pub(super) signals: Caught,
}

/// Runs the command to its end. Must be called on the main thread: the kernel tells the reaper when
/// that thread ends.
pub(super) fn run(turn: &Turn, command: &[OsString]) -> Result<Ended, Failure> {
    let failed = |e: io::Error| Failure::new(format!("cannot start the command: {e}"));
    // From here on signals are for the command. Those that come before it runs are kept for it.
    let mut signals = signals::catch(&[SIGCHLD]).map_err(failed)?;
    output::aside::start();
    children::adopt_orphans()?;
    let mut reaper = spawn(turn, command)?.map_err(failed)?;
    let pid = Pid::from_child(&reaper);
    // Its arguments may be secrets.
    tracing::info!(program = ?command.first(), "started");
    let running = children::watch(pid);
    let mut told = false;
    loop {
        if let Some(status) = reaper.try_wait().map_err(failed)? {
            if status.signal().is_some() {
                // It did not end by itself. What it ran is this process's affair now.
                reaper::succeed(Purpose::Turn);
            }
            let code = code(status);
            tracing::info!(code, "the command has ended");
            return Ok(Ended { code, told, signals });
        }
        for origin in signals.wait(running.as_ref()).map_err(failed)? {
            if origin.signal == SIGCHLD {
                children::reap_orphans(Some(pid));
            }
            told |= signals::ENDING.contains(&origin.signal);
            thread::sleep(signals::pause_before(&origin));
            signals::pass_on(&origin, pid);
        }
    }
}

fn spawn(turn: &Turn, command: &[OsString]) -> Result<io::Result<Child>, Failure> {
    let mut own = reaper::command(Purpose::Turn, command)?;
    own.env(enclosing::VARIABLE, enclosing::variable_for(turn));
    let spawned = turn.with_lock_fd(|lock| {
        let _inherited = lend::inheritable(lock)?;
        own.spawn()
    });
    spawned.ok_or_else(|| Failure::new("the turn is over"))
}

/// The command's exit code, or 128 + N if signal N ended it, as in shells.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
