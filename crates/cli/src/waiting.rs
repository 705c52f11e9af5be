//! The remark on a terminal that says whom the command waits for.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use turnlock::{Holder, Sessions};

use crate::output;

/// A shorter wait needs no remark.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs `acquire` on this thread. If that takes long and standard error is a terminal, says once
/// whom it waits for.
pub(crate) fn watched<T>(sessions: &Sessions, session: &Path, acquire: impl FnOnce() -> T) -> T {
    if !stderr().is_terminal() {
        return acquire();
    }
    thread::scope(|scope| {
        let (done, waits) = mpsc::channel::<()>();
        // Without a thread there is no remark.
        let _ = thread::Builder::new().spawn_scoped(scope, move || {
            if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                output::tell(&format!("waiting for {}", whom(sessions, session)));
            }
        });
        let acquired = acquire();
        drop(done);
        acquired
    })
}

fn whom(sessions: &Sessions, session: &Path) -> String {
    match sessions.status_of(session) {
        Ok(Some(report)) => match report.holder {
            Some(holder) => describe(&holder),
            None => format!("whoever left {}", report.lock.display()),
        },
        _ => format!("{}, which is being written to", session.display()),
    }
}

/// `pid 1234 on host x (reply), since 2026-04-15T10:00:00.123Z (12s)`.
pub(crate) fn describe(holder: &Holder) -> String {
    let mut text =
        holder.pid.map_or_else(|| "an unknown process".into(), |pid| format!("pid {pid}"));
    if let Some(host) = &holder.host {
        text += &format!(" on host {host}");
    }
    if let Some(label) = &holder.label {
        text += &format!(" ({label})");
    }
    if let (Some(since), Some(age)) = (holder.since, holder.age()) {
        let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
        text += &format!(", since {} ({age})", output::moment(since));
    }
    text
}
