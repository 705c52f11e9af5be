//! Ends the gateway that was named, and no other process.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::listener::listener_at;
use super::report::{DEFAULT_ADDRESS, find_address};
use super::{Error, Result};
use super::{GatewayBuilder, Identity, LockFacts, Refused, socket};
use crate::error::Context;
use crate::sys::process::{End, Handle};

/// The time from being asked to end to being killed.
const GRACE: Duration = Duration::from_millis(700);
/// The time from the end of the process to a free port.
const PORT_FREE: Duration = Duration::from_secs(2);
/// The pause between two looks at the port.
const LOOK: Duration = Duration::from_millis(20);

/// How a gateway ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stopped {
    /// Its process id.
    pub pid: i32,
    /// Whether it had to be killed, because it did not end within 700 ms of being asked.
    pub killed: bool,
}

/// Ends the gateway with the process id `pid`, and waits until its port is free.
///
/// The process is asked to end (SIGTERM), and killed (SIGKILL) if it has not ended after 700 ms.
/// The port is the one that the living owner recorded, unless `port` names another.
///
/// Only the verified owner is ended: a living process that a lock of this gateway names and that
/// was started when the lock says. The process is opened by a handle before this is checked, so
/// that a later process with the same id is never hit.
///
/// **Blocking**, for at most 5 s: 700 ms until it is killed, 2 s until it has ended, and 2 s until
/// the port is free.
///
/// # Errors
/// - [`Error::Refused`] with [`NotTheOwner`](Refused::NotTheOwner) if the process is not the
///   verified owner. Nothing was done to it.
/// - [`Error::Refused`] with [`PortNotFreed`](Refused::PortNotFreed) if another process keeps the
///   port.
/// - [`Error::Lock`] if there is no such state directory, and with [`Io`](crate::Error::Io) if the
///   process may not be signalled.
pub fn stop(gateway: &GatewayBuilder, pid: i32, port: Option<u16>) -> Result<Stopped> {
    let layout = gateway.layout(false)?;
    let refuse = |reason| Err(Error::Refused(Refused::NotTheOwner { pid, reason }));
    let process = match Handle::open(pid) {
        Ok(Some(process)) => process,
        Ok(None) => return refuse("there is no such process"),
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {
            return refuse("this system has no process handles, so another process could be hit");
        }
        Err(e) => return Err(cannot("open the process of", layout.state_lock(), e)),
    };
    let locks: Vec<_> =
        [layout.state_lock(), layout.config_lock()].into_iter().filter_map(LockFacts::of).collect();
    if let Err(reason) = verify(&locks, pid) {
        return refuse(reason);
    }
    let address = find_address((gateway.host, port), locks.iter(), DEFAULT_ADDRESS);
    tracing::info!(pid, %address, "ending a gateway");
    let killed = end(&process, layout.state_lock())?;
    wait_for_port(pid, address)?;
    Ok(Stopped { pid, killed })
}

/// Whether `pid` is the verified owner of one of the locks.
fn verify(locks: &[LockFacts], pid: i32) -> Result<(), &'static str> {
    let mut named =
        locks.iter().filter(|lock| lock.owner_lives()).filter_map(|lock| lock.process.as_ref());
    let Some(owner) = named.find(|owner| owner.pid == pid) else {
        return Err("no lock of this gateway is held by it");
    };
    match owner.identity {
        Identity::Verified if pid == std::process::id().cast_signed() => {
            Err("it is this very process")
        }
        Identity::Verified => Ok(()),
        Identity::Unverified => {
            Err("its lock does not prove that it is the gateway: compared were the time of its \
                 start, the owner of the lock file, who has the kernel's lock or has the lock file \
                 open, and its command line")
        }
        Identity::Recycled => Err("another process has that id by now"),
        Identity::Gone => Err("it has ended"),
        Identity::Elsewhere => Err("that id is of another container or another boot"),
    }
}

/// Ends the process, and returns whether it had to be killed.
fn end(process: &Handle, lock: &Path) -> Result<bool> {
    process.end(End::Ask).context("signal the owner of", lock)?;
    if process.ends_within(GRACE).context("wait for the owner of", lock)? {
        return Ok(false);
    }
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
