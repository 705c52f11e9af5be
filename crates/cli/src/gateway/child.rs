//! A gateway program that runs under the locks.
//!
//! It must not outlive them. It inherits no lock, so that nothing it leaves running keeps the next gateway from starting;
//! instead the kernel kills it when this process dies, however that happens. The request for that can only be made by
//! the child itself, before it becomes the program: so the child is this command again, for a moment.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use turnlock::gateway::Gateway;

use super::serve::Guard;
use super::signals::Signals;
use crate::failure::Failure;
use crate::{exec, signals};

/// How long the program may take to end when a lock is lost.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(
    gateway: &mut Gateway,
    signals: Signals,
    command: &[OsString],
) -> Result<ExitCode, Failure> {
    // The port was free: from here on it is the program's.
    drop(gateway.take_listener());
    // On this thread, which lasts as long as the process: the kernel watches the thread that started the child.
    let mut child = start(command)?;
    let ended = attend(gateway, signals, &mut child).await;
    if ended.is_err() {
        end(&mut child).await;
    }
    ended.map(exit_code)
}

fn start(command: &[OsString]) -> Result<Child, Failure> {
    let under = exec::command(Signal::KILL, command)?;
    tokio::process::Command::from(under)
        .spawn()
        .map_err(|e| Failure::new(format!("cannot start the program: {e}")))
}

/// Passes signals on until the program has ended, or a lock is lost.
async fn attend(
    gateway: &Gateway,
    mut signals: Signals,
    child: &mut Child,
) -> Result<ExitStatus, Failure> {
    let mut guard = Guard::new();
    loop {
        tokio::select! {
            ended = child.wait() => return ended.map_err(|e| Failure::new(format!("cannot wait for the program: {e}"))),
            origin = signals.next() => {
                if let Some(program) = id(child) {
                    signals::pass_on(&origin, program);
                }
            }
            looked = guard.look(gateway) => looked?,
        }
    }
}

/// It has one until it has been waited for, and nobody else gets that before.
fn id(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()))
}

async fn end(child: &mut Child) {
    if let Some(program) = id(child) {
        let _ = kill_process(program, Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        // If even that fails, the kernel does it when this process ends.
        let _ = child.kill().await;
    }
}

/// As a shell tells it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
