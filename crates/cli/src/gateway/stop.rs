//! `turnlock gateway stop`: stops the owner of the locks, and no other process.

use std::process::ExitCode;
use std::time::Duration;

use turnlock::gateway::{self, GatewayBuilder, Stop, Stopping};

use super::Which;
use crate::failure::Failure;
use crate::output;

/// Stop the gateway, which is the verified owner of the locks
///
/// Sends SIGTERM, then SIGKILL after --grace, and waits up to 2 s for the port to be free. The
/// process must be the one that the lock names, by its id and its start time.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock gateway stop
  turnlock gateway stop --state-dir /data --pid 659 --grace 30s

Exit codes: 0 it has ended and its port is free; 1 there is no verified owner, or the port is still
taken; 2 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The process id of the gateway, if another one is not to be stopped; see `turnlock gateway
    /// status`
    #[arg(long)]
    pid: Option<i32>,
    /// The port of the gateway [default: the one that it recorded]
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    grace: Grace,
    #[arg(long, hide = true)]
    force: bool,
}

/// How long a gateway may take to end.
#[derive(clap::Args, Clone, Copy)]
pub(super) struct Grace {
    /// How long a gateway that is stopped may take to end before it is killed
    #[arg(
        long,
        default_value = "10s",
        value_parser = humantime::parse_duration,
        value_name = "DURATION"
    )]
    grace: Duration,
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    if args.force {
        return Err(no_force());
    }
    stop(&args.which.builder(args.port)?, args.pid, args.port, args.grace)?;
    Ok(ExitCode::SUCCESS)
}

/// Stops the process with this id, or else the verified owner, and says how that goes.
pub(super) fn stop(
    gateway: &GatewayBuilder,
    pid: Option<i32>,
    port: Option<u16>,
    Grace { grace }: Grace,
) -> Result<(), Failure> {
    let mut how = Stop::new().grace(grace);
    if let Some(pid) = pid {
        how = how.pid(pid);
    }
    if let Some(port) = port {
        how = how.port(port);
    }
    let stopped = gateway::stop(gateway, &how, tell)?;
    let how = if stopped.killed {
        let grace = humantime::format_duration(grace);
        format!("it did not end within {grace} of being asked, and was killed")
    } else {
        "it ended".to_owned()
    };
    output::tell(&format!("gateway with pid {}: {how}; its port is free", stopped.pid));
    Ok(())
}

fn tell(stopping: Stopping) {
    match stopping {
        Stopping::Waiting { pid, left } => output::tell(&format!(
            "gateway with pid {pid}: asked to end; it is killed in {} s unless it does",
            left.as_secs_f64().ceil()
        )),
        Stopping::Killing { pid } => {
            output::tell(&format!("gateway with pid {pid}: it has not ended; killing it"));
        }
        _ => {}
    }
}

/// There is no `--force`, because some day it would kill an unrelated process.
pub(super) fn no_force() -> Failure {
    Failure::new(
        "there is no --force that kills whatever listens on a port. `turnlock gateway status` \
         shows the owner of the lock and the listener. Stop the owner with \
         `turnlock gateway stop`, or replace it with `turnlock gateway run --replace`. A listener \
         that no lock names is no gateway of this state directory: if you know it, end it with \
         `kill PID`",
    )
}
