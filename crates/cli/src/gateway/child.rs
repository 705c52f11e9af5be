//! A gateway program that runs under the locks.
//!
//! It and all that it starts inherit them, so that no other gateway begins beside any of it. And
//! none of it outlives this process for long, in whatever way it ends; see [`reaper`].

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use turnlock::gateway::Gateway;

use super::serve::Guard;
use super::signals::Signals;
use crate::failure::Failure;
use crate::reaper::{self, GRACE, Purpose};
use crate::{children, lend, signals};

pub(super) async fn run(
    gateway: &mut Gateway,
    signals: Signals,
    command: &[OsString],
) -> Result<ExitCode, Failure> {
    // The port was free. From here on it belongs to the program.
    drop(gateway.take_listener());
    children::adopt_orphans()?;
    // Must be the main thread: the kernel tells the reaper when the thread that started it ends.
    let mut reaper = start(gateway, command)?;
    let ended = attend(gateway, signals, &mut reaper).await;
    match &ended {
        Ok(status) if status.signal().is_none() => {}
        // It was killed. What it ran is this process's affair now.
        Ok(_) => reaper::succeed(Purpose::Gateway),
        Err(_) => end(&mut reaper).await,
    }
    ended.map(exit_code)
}

fn start(gateway: &Gateway, command: &[OsString]) -> Result<Child, Failure> {
    let mut reaper = tokio::process::Command::from(reaper::command(Purpose::Gateway, command)?);
    reaper.env("OPENCLAW_GATEWAY_PORT", gateway.address().port().to_string());
    let spawned = gateway.with_lock_fds(|locks| {
        let _inherited: Vec<_> =
            locks.iter().map(|lock| lend::inheritable(*lock)).collect::<io::Result<_>>()?;
        reaper.spawn()
    });
    spawned
        .ok_or_else(|| Failure::new("the gateway's locks are released"))?
        .map_err(|e| Failure::new(format!("cannot start the program: {e}")))
}

/// Forwards signals until the program has ended, or a lock is lost.
async fn attend(
    gateway: &Gateway,
    mut signals: Signals,
    child: &mut Child,
) -> Result<ExitStatus, Failure> {
    let failed = |e: io::Error| Failure::new(format!("cannot wait for the program: {e}"));
    let mut guard = Guard::new();
    loop {
        tokio::select! {
            ended = child.wait() => return ended.map_err(failed),
            origin = signals.next() => {
                if let Some(program) = id(child) {
                    signals::pass_on(&origin, program);
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

/// Ends the program, and all that it started.
async fn end(reaper: &mut Child) {
    if let Some(reaper) = id(reaper) {
        let _ = kill_process(reaper, Signal::TERM);
    }
    if tokio::time::timeout(GRACE, reaper.wait()).await.is_err() {
        let _ = reaper.kill().await;
    }
    reaper::succeed(Purpose::Gateway);
}

/// The program's exit code, or 128 + N if signal N ended it, as in shells.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
