//! The step between `turnlock run` and its command: a process that asks to die with its parent, and then becomes the command.
//!
//! The request must come from the process itself, and nothing but an `exec` keeps it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::cli::failure::Failure;

pub(crate) const NAME: &str = "__exec";

/// What shells answer when a command cannot be run, or found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The process that must still be the parent
    parent: i32,

    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the command.
pub(crate) fn main(args: Args) -> Result<ExitCode, Failure> {
    die_with_parent(args.parent)?;
    let (program, arguments) = args.command.split_first().ok_or_else(|| Failure::new("no command"))?;
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    Err(Failure::with_code(code, format!("cannot run {}: {error}", Path::new(program).display())))
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: i32) -> Result<(), Failure> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|e| Failure::new(format!("cannot ask for a signal at the parent's death: {e}")))?;
    // It may have died before it was asked for.
    if getppid().map(Pid::as_raw_pid) == Some(parent) {
        Ok(())
    } else {
        Err(Failure::new("turnlock is gone, the command is not run"))
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: i32) -> Result<(), Failure> {
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
