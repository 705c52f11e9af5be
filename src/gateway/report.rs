//! What can be seen of a gateway from outside: the owner of its locks, the listener on its port,
//! and its health. These are three different facts, and none is inferred from another.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Result;
use super::family::listener_is_owner;
use super::listener::listener_at;
use super::owner::Owner;
use super::{GatewayBuilder, Health, Listener, OwnerProcess, Remains, probe, remains};
use crate::error::{Holder, printable};
use crate::lock::Reason;
use crate::rules::Rules;
use crate::sessions::paths;
use crate::sessions::sweep::{self, LockState};

/// How long a health probe may take.
pub(super) const PROBE: Duration = Duration::from_secs(1);

/// What was seen of a gateway.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct GatewayReport {
    /// The state directory, with links resolved.
    #[serde(flatten, serialize_with = "paths::state_dir")]
    pub state_dir: PathBuf,
    /// The config file, with links resolved.
    #[serde(flatten, serialize_with = "paths::config")]
    pub config: PathBuf,
    /// The lock of the state directory; `None` if there is none.
    pub state_lock: Option<LockFacts>,
    /// The lock of the config file; `None` if there is none.
    pub config_lock: Option<LockFacts>,
    /// What is left of a gateway that was killed, and keeps the locks.
    pub remains: Option<Remains>,
    /// The address that was looked at: the given one, or the one that the owner recorded, or that
    /// of the builder.
    pub address: SocketAddr,
    /// The listener there.
    pub listener: Option<Listener>,
    /// Whether the listener is the owner of the locks, a process that it started, or one that has
    /// inherited its lock; `None` if that cannot be told.
    pub listener_is_owner: Option<bool>,
    /// What `/healthz` answered there.
    pub health: Health,
}

/// What was seen of a lock.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LockFacts {
    /// The lock file.
    #[serde(flatten, serialize_with = "paths::lock")]
    pub lock: PathBuf,
    /// Its state, judged by the kernel's lock, and for a foreign owner by its process.
    pub state: LockState,
    /// The holder that its record names.
    pub holder: Option<Holder>,
    /// The process that its record names, and whether it is still the same process.
    pub process: Option<OwnerProcess>,
    /// The port that its record names.
    pub port: Option<u16>,
    /// The address to listen on that its record names.
    pub address: Option<IpAddr>,
    /// The state directory that its record names, by the name that its owner has for it.
    pub state_dir: Option<String>,
    /// The config that its record names, likewise.
    pub config: Option<String>,
    /// Why it is stale, or what else is noteworthy about it.
    pub reasons: Vec<Reason>,
    /// Why it could not be looked at.
    pub error: Option<String>,
}

impl LockFacts {
    /// Looks at a lock and changes nothing; `None` if there is none.
    pub(super) fn of(lock: &Path) -> Option<Self> {
        let report = sweep::look(lock, &Arc::<Rules>::default())?;
        let owner = Owner::at(lock).ok().flatten();
        let port = owner.as_ref().and_then(Owner::port);
        let address = owner.as_ref().and_then(|owner| owner.record.address);
        let told = |text: Option<&String>| text.map(|text| printable(text));
        let record = owner.as_ref().map(|owner| &owner.record);
        Some(Self {
            state_dir: told(record.and_then(|record| record.state_dir.as_ref())),
            config: told(record.and_then(|record| record.config_path.as_ref())),
            lock: report.lock,
            state: report.state,
            holder: report.holder,
            process: owner.map(|owner| owner.process),
            port,
            address,
            reasons: report.reasons,
            error: report.error,
        })
    }

    /// Whether its owner is known to live.
    #[must_use]
    pub fn owner_lives(&self) -> bool {
        matches!(self.state, LockState::Held | LockState::Foreign)
    }
}

impl GatewayReport {
    /// Whether one of the locks has a living owner.
    #[must_use]
    pub fn owner_lives(&self) -> bool {
        self.locks().any(LockFacts::owner_lives)
    }

    /// Returns the locks that exist, that of the state directory first.
    pub fn locks(&self) -> impl Iterator<Item = &LockFacts> {
        self.state_lock.iter().chain(&self.config_lock)
    }
}

/// Looks at a gateway, and changes nothing.
///
/// `port` says where to look. Without it, that is the port that the living owner recorded, else the
/// one in a stale record, else that of `gateway`.
///
/// **Blocking**, for a second or so.
///
/// # Errors
/// [`Error::Lock`](super::Error::Lock) if there is no such state directory. What cannot be seen is
/// reported, and is not an error.
pub fn status(gateway: &GatewayBuilder, port: Option<u16>) -> Result<GatewayReport> {
    let layout = gateway.layout(false)?;
    let (state_lock, config_lock) =
        (LockFacts::of(layout.state_lock()), LockFacts::of(layout.config_lock()));
    let locks: Vec<_> = state_lock.iter().chain(&config_lock).collect();
    let address = find_address((gateway.host, port), locks.iter().copied(), gateway.address());
    let health = probe(address, PROBE);
    // A socket at `::` that has IPv6 connections only is found here too, and reached by none.
    let is_reached = |listener: &Listener| {
        health != Health::Refused || listener.address.is_ipv4() == address.is_ipv4()
    };
    let listener = listener_at(address).filter(is_reached);
    let listener_is_owner = listener_is_owner(listener.as_ref(), &locks);
    Ok(GatewayReport {
        state_dir: layout.state_dir().to_owned(),
        config: layout.config().to_owned(),
        state_lock,
        config_lock,
        remains: remains(gateway).unwrap_or_default(),
        address,
        listener,
        listener_is_owner,
        health,
    })
}

/// Returns the address at which to look for a gateway: host and port as given, else as a living
/// owner recorded them, else as an owner that is gone did, else those of `default`.
pub(super) fn find_address<'a>(
    (host, port): (Option<IpAddr>, Option<u16>),
    locks: impl Iterator<Item = &'a LockFacts>,
    default: SocketAddr,
) -> SocketAddr {
    let (mut locks, gone): (Vec<_>, Vec<_>) = locks.partition(|lock| lock.owner_lives());
    locks.extend(gone);
    let host = host.or_else(|| locks.iter().find_map(|lock| lock.address));
    let port = port.or_else(|| locks.iter().find_map(|lock| lock.port));
    SocketAddr::new(host.unwrap_or(default.ip()), port.unwrap_or(default.port()))
}
