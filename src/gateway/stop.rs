//! Ends the gateway of a state directory, and no other process.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::listener::listener_at;
use super::report::find_address;
use super::{Error, Result};
use super::{GatewayBuilder, Identity, LockFacts, OwnerProcess, Refused, advice, socket};
use crate::error::Context;
use crate::sys::process::{End, Handle};

/// How long a gateway may take to end after it was asked to, unless told otherwise: long enough to
/// write what it has in memory.
const GRACE: Duration = Duration::from_secs(10);
/// How often is told that it has not ended yet.
const TELL: Duration = Duration::from_secs(1);
/// The time from the end of the process to a free port.
const PORT_FREE: Duration = Duration::from_secs(2);
/// The pause between two looks at the port.
const LOOK: Duration = Duration::from_millis(20);

/// Which gateway is ended, and how; see [`stop`].
#[derive(Debug, Clone)]
pub struct Stop {
    pid: Option<i32>,
    port: Option<u16>,
    grace: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self { pid: None, port: None, grace: GRACE }
    }
}

impl Stop {
    /// Ends the verified owner of the locks, whoever it is, and gives it 10 s.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the process, by its id in the PID namespace of this process. Any other is refused.
    #[must_use]
    pub fn pid(mut self, pid: i32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Names the port that is to be free afterwards. Default: the one that the owner recorded.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets how long it may take to end before it is killed. Default: 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// What [`stop`] does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopping {
    /// The process was asked to end (SIGTERM).
    Asked {
        /// Its process id.
        pid: i32,
    },
    /// It has not ended yet. Told once a second.
    Waiting {
        /// Its process id.
        pid: i32,
        /// The time left until it is killed.
        left: Duration,
    },
    /// The time is up, and it is killed (SIGKILL).
    Killing {
        /// Its process id.
        pid: i32,
    },
}

/// How a gateway ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stopped {
    /// Its process id, in the PID namespace of this process.
    pub pid: i32,
    /// Whether it had to be killed, because it did not end in time after it was asked to.
    pub killed: bool,
}

/// Ends the gateway, and waits until its port is free. `tell` is told how that goes.
///
/// The process is asked to end (SIGTERM), and killed (SIGKILL) if it has not ended after the
/// [grace](Stop::grace).
///
/// Only the verified owner is ended: a living process that a lock of this gateway names and that
/// was started when the lock says. The process is opened by a handle before this is checked, so
/// that a later process with the same id is never hit.
///
/// **Blocking**, for the grace and 4 s at most: 2 s until a killed process has ended, and 2 s until
/// the port is free.
///
/// # Errors
/// - [`Error::Refused`] with [`NotTheOwner`](Refused::NotTheOwner) if the named process is not the
///   verified owner, and with [`NoOwner`](Refused::NoOwner) if none was named and there is not
///   exactly one verified owner. Nothing was done.
/// - [`Error::Refused`] with [`PortNotFreed`](Refused::PortNotFreed) if another process keeps the
///   port.
/// - [`Error::Lock`] if there is no such state directory, and with [`Io`](crate::Error::Io) if the
///   process may not be signalled.
pub fn stop(
    gateway: &GatewayBuilder,
    how: &Stop,
    mut tell: impl FnMut(Stopping),
) -> Result<Stopped> {
    let layout = gateway.layout(false)?;
    let pid = match how.pid {
        Some(pid) => pid,
        None => the_owner(&locks_of(gateway)?).map_err(|reason| {
            Error::Refused(Refused::NoOwner { reason, advice: advice::see(gateway) })
        })?,
    };
    let refuse = |reason| {
        let advice = advice::see(gateway);
        Err(Error::Refused(Refused::NotTheOwner { pid, reason, advice }))
    };
    let process = match Handle::open(pid) {
        Ok(Some(process)) => process,
        Ok(None) => return refuse("there is no such process"),
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {
            return refuse("this system has no process handles, so another process could be hit");
        }
        Err(e) => return Err(cannot("open the process of", layout.state_lock(), e)),
    };
    // Only now it is certain that whoever is looked at is the one that will be signalled.
    let locks = locks_of(gateway)?;
    if let Err(reason) = verify(&locks, pid) {
        return refuse(reason);
    }
    let address = find_address((gateway.host, how.port), locks.iter(), gateway.address());
    tracing::info!(pid, %address, "ending a gateway");
    let killed = end(&process, pid, how.grace, layout.state_lock(), &mut tell)?;
    wait_for_port(pid, address)?;
    Ok(Stopped { pid, killed })
}

fn locks_of(gateway: &GatewayBuilder) -> Result<Vec<LockFacts>> {
    let layout = gateway.layout(false)?;
    let locks = [layout.state_lock(), layout.config_lock()];
    Ok(locks.into_iter().filter_map(LockFacts::of).collect())
}

/// The processes that living locks name.
fn owners(locks: &[LockFacts]) -> impl Iterator<Item = &OwnerProcess> {
    locks.iter().filter(|lock| lock.owner_lives()).filter_map(|lock| lock.process.as_ref())
}

/// The one process that has the locks, by its id here.
fn the_owner(locks: &[LockFacts]) -> Result<i32, String> {
    let verified = |owner: &OwnerProcess| match owner.identity {
        Identity::Verified => owner.pid_here,
        _ => None,
    };
    let mut found: Vec<_> = owners(locks).filter_map(verified).collect();
    found.dedup();
    match found[..] {
        [pid] => Ok(pid),
        [state, config, ..] => Err(format!(
            "pid {state} has the lock of the state directory, and pid {config} that of the config; \
             name the one that is meant with --pid"
        )),
        [] => Err(match owners(locks).next() {
            Some(owner) => format!("pid {} has the lock, and {}", owner.pid, doubt(owner.identity)),
            None => "no process has the gateway's locks".into(),
        }),
    }
}

/// Whether `pid` is the verified owner of one of the locks.
fn verify(locks: &[LockFacts], pid: i32) -> Result<(), &'static str> {
    let Some(owner) = owners(locks).find(|owner| owner.pid_here.unwrap_or(owner.pid) == pid) else {
        return Err("no lock of this gateway is held by it");
    };
    match owner.identity {
        Identity::Verified if pid == std::process::id().cast_signed() => {
            Err("it is this very process")
        }
        Identity::Verified => Ok(()),
        other => Err(doubt(other)),
    }
}

/// Why a process that a living lock names is not ended.
fn doubt(identity: Identity) -> &'static str {
    match identity {
        Identity::Verified | Identity::Unverified => {
            "its lock does not prove that it is the gateway: compared were the time of its start, \
             the owner of the lock file, who has the kernel's lock or has the lock file open, and \
             its command line"
        }
        Identity::Recycled => "another process has that id by now",
        Identity::Gone => "it has ended",
        Identity::Elsewhere => {
            "that id is of another container or another boot: end it there, as with `docker stop`"
        }
    }
}

/// Ends the process, and returns whether it had to be killed.
fn end(
    process: &Handle,
    pid: i32,
    grace: Duration,
    lock: &Path,
    tell: &mut impl FnMut(Stopping),
) -> Result<bool> {
    process.end(End::Ask).context("signal the owner of", lock)?;
    tell(Stopping::Asked { pid });
    let began = Instant::now();
    loop {
        let left = grace.saturating_sub(began.elapsed());
        if process.ends_within(left.min(TELL)).context("wait for the owner of", lock)? {
            return Ok(false);
        }
        let left = grace.saturating_sub(began.elapsed());
        if left.is_zero() {
            break;
        }
        tell(Stopping::Waiting { pid, left });
    }
    tell(Stopping::Killing { pid });
    process.end(End::Kill).context("signal the owner of", lock)?;
    // If it is stuck in the kernel and does not end, its port stays taken, and that is reported.
    process.ends_within(PORT_FREE).context("wait for the owner of", lock)?;
    Ok(true)
}

fn cannot(action: &'static str, lock: &Path, source: std::io::Error) -> Error {
    crate::Error::Io { action, path: lock.to_owned(), source }.into()
}

fn wait_for_port(pid: i32, address: std::net::SocketAddr) -> Result<()> {
    let until = Instant::now() + PORT_FREE;
    // Only binding the port proves that it is free. The socket is closed at once.
    while let Err(e) = TcpListener::bind(address) {
        if e.kind() != std::io::ErrorKind::AddrInUse {
            return Ok(());
        }
        if Instant::now() >= until {
            let listener = listener_at(address);
            let url = socket::url(address);
            return Err(Error::Refused(Refused::PortNotFreed {
                pid,
                url,
                listener: listener.map(Box::new),
            }));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
