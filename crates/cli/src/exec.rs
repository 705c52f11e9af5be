//! The step between turnlock and a program that it runs: a process that asks to die with its parent, and then becomes the program.
//!
//! The request must come from the process itself, and nothing but an `exec` keeps it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::process::Signal;

use crate::failure::Failure;

pub(crate) const NAME: &str = "__exec";

/// What shells answer when a command cannot be run, or found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// `turnlock __exec PARENT SIGNAL CMD ARGS…`, to be started from a thread that lives as long as the program is to live: the kernel
/// sends the signal when that thread ends.
pub(crate) fn command(signal: Signal, program: &[OsString]) -> Result<Command, Failure> {
    let mut step = Command::new(own_program()?);
    let (parent, signal) = (std::process::id().to_string(), signal.as_raw().to_string());
    step.arg0("turnlock").args([NAME, &parent, &signal]).args(program);
    Ok(step)
}

/// Becomes the program, if PARENT is still the parent.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let mut number = || arguments.next().and_then(|number| number.to_str()?.parse().ok());
    let (parent, signal) = (number(), number().and_then(Signal::from_named_raw));
    die_with_parent(parent, signal)?;
    let program = arguments.next().ok_or_else(|| Failure::new("no command"))?;
    let error = Command::new(&program).args(arguments).exec();
    let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    Err(Failure::with_code(code, format!("cannot run {}: {error}", Path::new(&program).display())))
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: Option<i32>, signal: Option<Signal>) -> Result<(), Failure> {
    use rustix::process::{Pid, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(signal)
        .map_err(|e| Failure::new(format!("cannot ask for a signal at the parent's death: {e}")))?;
    // It may have died before it was asked for.
    if getppid().map(Pid::as_raw_pid) == parent {
        Ok(())
    } else {
        Err(Failure::new("turnlock is gone, the command is not run"))
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: Option<i32>, _signal: Option<Signal>) -> Result<(), Failure> {
    Ok(())
}

/// This very program, also if its file was replaced meanwhile.
pub(crate) fn own_program() -> Result<PathBuf, Failure> {
    let own = Path::new("/proc/self/exe");
    if own.exists() {
        return Ok(own.to_owned());
    }
    std::env::current_exe().map_err(|e| Failure::new(format!("cannot find the own program: {e}")))
}
