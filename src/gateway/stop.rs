//! Ending a gateway that was named, and nobody else.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::report::{CUSTOM, find_address};
use super::{Error, Result};
use super::{GatewayBuilder, Identity, LockFacts, Refused, listeners, socket};
use crate::error::Context;
use crate::sys::process::{End, Handle};

/// From being asked to end to being ended.
const GRACE: Duration = Duration::from_millis(700);
/// From its end to a port that is free.
const PORT_FREE: Duration = Duration::from_secs(2);
/// How often the port is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How a gateway ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stopped {
    /// Its process.
    pub pid: i32,
    /// Whether it had to be killed, since it did not end within 700 ms of being asked.
    pub killed: bool,
}

/// Asks the gateway with the process id `pid` to end (SIGTERM), ends it (SIGKILL) if it has not after 700 ms, and waits until
/// its port is free, for at most 2 s.
///
/// Only a process that a lock of this gateway names, that lives, and that was started when the lock says. It is bound to
/// a process descriptor before that is looked at, so that no later process of the same id is ever hit. Blocking.
///
/// # Errors
/// [`Refused::NotTheOwner`] if it is not so, and nothing was done; [`Refused::PortNotFreed`] if somebody else keeps the port;
/// [`crate::Error::Io`] without the right to signal it.
pub fn stop(gateway: &GatewayBuilder, pid: i32, port: Option<u16>) -> Result<Stopped> {
    let layout = gateway.layout(false)?;
    let refuse = |reason| Err(Error::Refused(Refused::NotTheOwner { pid, reason }));
    let process = match Handle::open(pid) {
        Ok(Some(process)) => process,
        Ok(None) => return refuse("there is no such process"),
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {
            return refuse("this system cannot name a process in a way that no later one inherits");
        }
        Err(e) => return Err(cannot("open the process of", layout.state_lock(), e)),
    };
    let locks: Vec<_> =
        [layout.state_lock(), layout.config_lock()].into_iter().filter_map(LockFacts::of).collect();
    if let Err(reason) = verify(&locks, pid) {
        return refuse(reason);
    }
    let address = find_address((gateway.host, port), locks.iter(), CUSTOM);
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
            Err("the lock does not say when it was started, so that it may be another one by now")
        }
        Identity::Recycled => Err("another process has that id by now"),
        Identity::Gone => Err("it has ended"),
        Identity::Elsewhere => Err("that id is of another container or another boot"),
    }
}

/// Whether it had to be killed.
fn end(process: &Handle, lock: &Path) -> Result<bool> {
    process.end(End::Ask).context("signal the owner of", lock)?;
    if process.ends_within(GRACE).context("wait for the owner of", lock)? {
        return Ok(false);
    }
    process.end(End::Kill).context("signal the owner of", lock)?;
    // The port says whether it worked: a process may be stuck in the kernel.
    process.ends_within(PORT_FREE).context("wait for the owner of", lock)?;
    Ok(true)
}

fn cannot(action: &'static str, lock: &Path, source: std::io::Error) -> Error {
    crate::Error::Io { action, path: lock.to_owned(), source }.into()
}

fn wait_for_port(pid: i32, address: std::net::SocketAddr) -> Result<()> {
    let until = Instant::now() + PORT_FREE;
    // To bind it is the only proof, and lets go at once.
    while let Err(e) = TcpListener::bind(address) {
        if e.kind() != std::io::ErrorKind::AddrInUse {
            return Ok(());
        }
        if Instant::now() >= until {
            let listener =
                listeners(address.port()).into_iter().find(|listener| listener.serves(address));
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
