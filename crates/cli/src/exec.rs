//! The step between turnlock and a program that it runs: a process that asks the kernel for a
//! signal at its parent's death, and then becomes the program.
//!
//! Only the process itself can make this request. The request survives an `exec`, but not a `fork`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal};

use crate::failure::Failure;
use crate::inherited;

pub(crate) const NAME: &str = "__exec";

/// A shell's exit codes for a command that cannot be run, or is not found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// `turnlock __exec PARENT SIGNAL CMD ARGS…`. Spawn it from a thread that outlives the program: the
/// kernel sends the signal when that thread ends.
pub(crate) fn command(signal: Signal, program: &[OsString]) -> Result<Command, Failure> {
    let mut step = Command::new(own_program()?);
    let (parent, signal) = (std::process::id().to_string(), signal.as_raw().to_string());
    step.arg0("turnlock").args([NAME, &parent, &signal]).args(program);
    Ok(step)
}

/// Becomes the program, if PARENT is still the parent.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let mut number = || arguments.next().and_then(|number| number.to_str()?.parse().ok());
    let (parent, signal) =
        (number().and_then(Pid::from_raw), number().and_then(Signal::from_named_raw));
    die_with_parent(parent, signal)?;
    let program = arguments.next().ok_or_else(|| Failure::new("no command"))?;
    let mut command = Command::new(&program);
    command.args(arguments);
    if let Some(parent) = parent {
        inherited::pass_on_pid_variables(&mut command, parent.as_raw_pid(), std::process::id());
    }
    let error = command.exec();
    let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    Err(Failure::with_code(code, format!("cannot run {}: {error}", Path::new(&program).display())))
}

/// Asks for a signal at the parent's death, if it has not died yet.
pub(crate) fn die_with_parent(parent: Option<Pid>, signal: Option<Signal>) -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(signal)
        .map_err(|e| Failure::new(format!("cannot ask for a signal at the parent's death: {e}")))?;
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
    // It may have died before the request.
    if rustix::process::getppid() == parent {
        Ok(())
    } else {
        Err(Failure::new("turnlock is gone, the command is not run"))
    }
}

/// The running program, even if its file was replaced.
pub(crate) fn own_program() -> Result<PathBuf, Failure> {
    let own = Path::new("/proc/self/exe");
    if own.exists() {
        return Ok(own.to_owned());
    }
    std::env::current_exe()
        .map_err(|e| Failure::new(format!("cannot find turnlock's own program: {e}")))
}
