//! A gateway program that runs under the locks.
//!
//! It and all that it starts inherit them, so that no other gateway begins beside any of it. And
//! none of it outlives this process for long, in whatever way it ends; see [`reaper`].

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::SIGCHLD;
use tokio::process::Child;
use turnlock::gateway::Gateway;

use super::guard::Guard;
use super::profile::Profile;
use super::signals::Signals;
use crate::failure::Failure;
use crate::reaper::{self, Purpose};
use crate::{children, lend, signals};

/// How long the program may take to end after a lock was lost. Another gateway may run beside it.
const LOST_GRACE: Duration = Duration::from_millis(500);

pub(super) async fn run(
    gateway: &Arc<Gateway>,
    signals: Signals,
    command: &[OsString],
    profile: Option<&Profile>,
) -> Result<ExitCode, Failure> {
    children::adopt_orphans()?;
    // Must be the main thread: the kernel tells the reaper when the thread that started it ends.
    let mut reaper = start(gateway, command, profile)?;
    let ended = attend(gateway, signals, &mut reaper).await;
    match &ended {
        Ok(status) if status.signal().is_none() => {}
        // It was killed. What it ran is this process's affair now.
        Ok(_) => reaper::succeed(Purpose::Gateway),
        Err(_) => end(&mut reaper).await,
    }
    ended.map(exit_code)
}

fn start(
    gateway: &Gateway,
    command: &[OsString],
    profile: Option<&Profile>,
) -> Result<Child, Failure> {
    let mut reaper = tokio::process::Command::from(reaper::command(Purpose::Gateway, command)?);
    reaper.envs(facts(gateway));
    reaper.envs(profile.map(|profile| ("OPENCLAW_PROFILE", profile.as_str())));
    let spawned = gateway.with_lock_fds(|locks| {
        let _inherited: Vec<_> =
            locks.iter().map(|lock| lend::inheritable(*lock)).collect::<io::Result<_>>()?;
        reaper.spawn()
    });
    spawned
        .ok_or_else(|| Failure::new("the gateway's locks are released"))?
        .map_err(|e| Failure::new(format!("cannot start the program: {e}")))
}

/// What the program is told of the gateway that it is.
fn facts(gateway: &Gateway) -> [(&'static str, OsString); 6] {
    let (layout, address) = (gateway.layout(), gateway.address());
    [
        ("OPENCLAW_STATE_DIR", layout.state_dir().into()),
        ("OPENCLAW_CONFIG_PATH", layout.config().into()),
        ("OPENCLAW_GATEWAY_PORT", address.port().to_string().into()),
        ("TURNLOCK_GATEWAY_ADDRESS", address.to_string().into()),
        ("TURNLOCK_GATEWAY_PID", std::process::id().to_string().into()),
        ("TURNLOCK_GATEWAY_OWNER_ID", gateway.owner_id().to_string().into()),
    ]
}

/// Forwards signals until the program has ended, or a lock is lost.
async fn attend(
    gateway: &Arc<Gateway>,
    mut signals: Signals,
    child: &mut Child,
) -> Result<ExitStatus, Failure> {
    let failed = |e: io::Error| Failure::new(format!("cannot wait for the program: {e}"));
    let mut guard = Guard::new();
    loop {
        tokio::select! {
            ended = child.wait() => return ended.map_err(failed),
            origin = signals.next() => {
                if origin.signal == SIGCHLD {
                    children::reap_orphans(id(child));
                }
                tokio::time::sleep(signals::pause_before(&origin)).await;
                if let Some(reaper) = id(child) {
                    signals::pass_on(&origin, reaper);
                }
            }
            looked = guard.look(gateway) => looked?,
        }
    }
}

/// The process id of a child that has not been waited for. Until then no other process gets it.
fn id(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()))
}

/// Ends the program, and all that it started. Another gateway may run already.
async fn end(reaper: &mut Child) {
    if let Some(reaper) = id(reaper) {
        let _ = kill_process(reaper, Signal::TERM);
    }
    if tokio::time::timeout(LOST_GRACE, reaper.wait()).await.is_err() {
        let _ = reaper.kill().await;
    }
    reaper::succeed(Purpose::Gateway);
}

/// The program's exit code, or 128 + N if signal N ended it, as in shells.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
