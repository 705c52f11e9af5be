//! `turnlock gateway stop`: end a gateway that is named, and nobody else.

use std::process::ExitCode;

use turnlock::gateway::{self, Builder};

use super::Which;
use crate::failure::Failure;
use crate::output;

/// End the gateway with a process id, if it is the verified owner of the locks
///
/// SIGTERM, then SIGKILL after 700 ms; then its port is free within 2 s. The process must be the one that the lock names, by its
/// id and by the time at which it was started.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 it has ended and its port is free; 1 it is not the owner, or somebody else has the port; 2 usage."
)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Who is to be ended; see `turnlock gateway status`
    #[arg(long, required_unless_present = "force")]
    pid: Option<i32>,
    /// Its port [default: the one that it recorded]
    #[arg(long)]
    port: Option<u16>,
    #[arg(long, hide = true)]
    force: bool,
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    match args.pid {
        Some(pid) if !args.force => stop(&args.which.builder()?, pid, args.port)?,
        _ => return Err(no_force()),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn stop(gateway: &Builder, pid: i32, port: Option<u16>) -> Result<(), Failure> {
    let stopped = gateway::stop(gateway, pid, port)?;
    let how = if stopped.killed {
        "it did not end within 700 ms of being asked, and was killed"
    } else {
        "it ended"
    };
    output::tell(&format!("gateway with pid {pid}: {how}; its port is free"));
    Ok(())
}

/// What a `--force` would do is kill a stranger some day.
pub(super) fn no_force() -> Failure {
    Failure::new(
        "there is no --force that kills whatever listens on a port. `turnlock gateway status` shows the owner of the lock and \
         the listener; end the owner by name, with `turnlock gateway stop --pid PID` or `turnlock gateway run --replace PID`. A \
         listener that no lock names is no gateway of this state directory: end it yourself if you know it, with `kill PID`",
    )
}
