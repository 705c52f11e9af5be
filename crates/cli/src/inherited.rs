//! What a process inherits from whoever started it, and must not.

use std::ffi::OsString;
use std::process::Command;

use clap::Command as Cli;
use signal_hook::consts::SIGCHLD;

use crate::failure::Failure;
use crate::signals;

/// Variables of systemd that hold the id of the process that they are for.
const PID_VARIABLES: [&str; 2] = ["WATCHDOG_PID", "LISTEN_PID"];

/// Sets the signal mask and the disposition of SIGCHLD right. A blocked SIGCHLD would make this
/// process wait for ever for a child that has ended, and an ignored one would lose its exit code.
/// Must be called before any thread is started, since threads inherit the mask.
pub(crate) fn set_signals_right() -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    nix::sys::signal::SigSet::all()
        .thread_unblock()
        .map_err(|e| Failure::new(format!("cannot unblock signals: {e}")))?;
    signals::end_also_as_first_process()
        .map_err(|e| Failure::new(format!("cannot handle signals: {e}")))?;
    if signals::ignored() & signals::bit(SIGCHLD) != 0 {
        // A handler that does nothing is enough, and a child does not inherit it.
        signal_hook::flag::register(SIGCHLD, std::sync::Arc::default())
            .map_err(|e| Failure::new(format!("cannot handle SIGCHLD: {e}")))?;
    }
    Ok(())
}

/// Makes an empty variable mean the same as an unset one, for all options.
pub(crate) fn without_empty_variables(cli: Cli) -> Cli {
    let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|v| v.is_empty());
    cli.mut_args(|argument| match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(None::<&str>),
        _ => argument,
    })
    .mut_subcommands(without_empty_variables)
}

/// Variables that were for `before`, a process that this one stands in for, are for `now`.
pub(crate) fn pass_on_pid_variables(command: &mut Command, before: i32, now: u32) {
    let before = OsString::from(before.to_string());
    for name in PID_VARIABLES {
        if std::env::var_os(name).as_ref() == Some(&before) {
            command.env(name, now.to_string());
        }
    }
}
