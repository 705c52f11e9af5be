//! A gateway program that runs under the locks.
//!
//! It must not outlive them. It inherits no lock, so that no process that it leaves behind keeps
//! the next gateway from starting. Instead the kernel kills it when this process dies, in whatever
//! way; see [`exec`].

use std::ffi::OsString;
use std::io;
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

/// How long the program may take to end after a lock was lost.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(
    gateway: &mut Gateway,
    signals: Signals,
    command: &[OsString],
) -> Result<ExitCode, Failure> {
    // The port was free. From here on it belongs to the program.
    drop(gateway.take_listener());
    // Must be the main thread: the kernel kills the child when the thread that started it ends.
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

async fn end(child: &mut Child) {
    if let Some(program) = id(child) {
        let _ = kill_process(program, Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        // If this fails too, the kernel kills it when this process ends.
        let _ = child.kill().await;
    }
}

/// The program's exit code, or 128 + N if signal N ended it, as in shells.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
