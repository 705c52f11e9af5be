//! `turnlock gateway stop`: stops a named gateway, and no other process.

use std::process::ExitCode;

use turnlock::gateway::{self, GatewayBuilder};

use super::Which;
use crate::failure::Failure;
use crate::output;

/// Stop the gateway with a process id, if it is the verified owner of the locks
///
/// Sends SIGTERM, then SIGKILL after 700 ms, and waits up to 2 s for the port to be free. The
/// process must be the one that the lock names, by its id and its start time.
#[derive(clap::Args)]
#[command(after_help = "\
Exit codes: 0 it has ended and its port is free; 1 it is not the owner, or the port is still taken;
2 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The process id of the gateway; see `turnlock gateway status`
    #[arg(long, required_unless_present = "force")]
    pid: Option<i32>,
    /// The port of the gateway [default: the one that it recorded]
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

pub(super) fn stop(gateway: &GatewayBuilder, pid: i32, port: Option<u16>) -> Result<(), Failure> {
    let stopped = gateway::stop(gateway, pid, port)?;
    let how = if stopped.killed {
        "it did not end within 700 ms of being asked, and was killed"
    } else {
        "it ended"
    };
    output::tell(&format!("gateway with pid {pid}: {how}; its port is free"));
    Ok(())
}

/// There is no `--force`, because some day it would kill an unrelated process.
pub(super) fn no_force() -> Failure {
    Failure::new(
        "there is no --force that kills whatever listens on a port. `turnlock gateway status` \
         shows the owner of the lock and the listener. Stop the owner by its process id, with \
         `turnlock gateway stop --pid PID` or `turnlock gateway run --replace PID`. A listener \
         that no lock names is no gateway of this state directory: if you know it, end it with \
         `kill PID`",
    )
}
