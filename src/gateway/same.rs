//! Whether what answers at an address is the gateway of this very state directory and config, and
//! not another one, or another program.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::family::listener_is_owner;
use super::health::{Answer, ask};
use super::listener::listener_at;
use super::report::find_address;
use super::{GatewayBuilder, Health, Layout, Listener, LockFacts, Result};

/// What a supervised start found where the gateway should be.
pub(super) struct Met {
    pub(super) address: SocketAddr,
    pub(super) health: Health,
    /// Why it is not this gateway, if that is so and somebody listens there.
    pub(super) stranger: Option<&'static str>,
    pub(super) listener: Option<Listener>,
}

/// Looks where the record of a living owner says, or else where this gateway would listen.
pub(super) fn meet(gateway: &GatewayBuilder, limit: Duration) -> Result<Met> {
    let layout = gateway.layout(false)?;
    let locks = [LockFacts::of(layout.state_lock()), LockFacts::of(layout.config_lock())];
    let locks: Vec<_> = locks.iter().flatten().filter(|lock| lock.owner_lives()).collect();
    let address = find_address((None, None), locks.iter().copied(), gateway.address());
    let answer = ask(address, limit);
    let listener = listener_at(address);
    let stranger = match answer.health {
        // Nobody is there who could be a stranger, as far as can be seen.
        Health::Refused | Health::Unknown(_) => None,
        _ => difference(&layout, &locks, &answer, listener.as_ref()),
    };
    Ok(Met { address, health: answer.health, stranger, listener })
}

/// What tells the one who answers from the gateway of this state directory and config.
fn difference(
    layout: &Layout,
    locks: &[&LockFacts],
    answer: &Answer,
    listener: Option<&Listener>,
) -> Option<&'static str> {
    let Some(owner) = locks.first() else {
        return Some("it has no lock of this state directory, nor of this config");
    };
    if listener_is_owner(listener, locks) == Some(false) {
        return Some("the process that listens there is not the owner of the lock");
    }
    let is_state_locks = owner.lock == layout.state_lock();
    match &owner.state_dir {
        // A container sees the directory by another name. The lock is inside it.
        Some(_) if is_state_locks => {}
        Some(dir) if !is_same(dir, layout.state_dir()) => {
            return Some("its lock names another state directory");
        }
        _ => {}
    }
    if is_state_locks && !has_same_config(layout, owner) {
        return Some("its lock names another config");
    }
    match &answer.state_dir {
        Some(told)
            if Some(told) != owner.state_dir.as_ref() && !is_same(told, layout.state_dir()) =>
        {
            Some("it says that it serves another state directory")
        }
        _ => None,
    }
}

/// Whether the owner of the state lock has this config, as far as its record says: by the same
/// path, or at the same place in the state directory.
fn has_same_config(layout: &Layout, owner: &LockFacts) -> bool {
    let Some(config) = owner.config.as_deref().map(Path::new) else { return true };
    let inside = owner.state_dir.as_ref().and_then(|dir| config.strip_prefix(dir).ok());
    let ours = layout.config().strip_prefix(layout.state_dir()).ok();
    config == layout.config() || (inside.is_some() && inside == ours)
}

/// Whether a path that was told means the same directory as `ours`, which has no links in it.
fn is_same(told: &str, ours: &Path) -> bool {
    let told = Path::new(told);
    told == ours || told.canonicalize().is_ok_and(|told| told == ours)
}
