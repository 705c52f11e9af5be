//! Which processes belong to a gateway: the owner of its locks, what it started, and what has
//! inherited its lock.

use super::{Identity, Listener, LockFacts};
use crate::sys;
use crate::sys::process;
use crate::sys::sharers::is_sharer;

/// Whether the listener belongs to the owner of the locks; `None` if that cannot be told.
///
/// `turnlock gateway run -- CMD` leaves the port to its program, which may start others in turn.
pub(super) fn listener_is_owner(listener: Option<&Listener>, locks: &[&LockFacts]) -> Option<bool> {
    let listener = listener.filter(|listener| !listener.pids.is_empty())?;
    let lock = locks.iter().find(|lock| lock.process.is_some())?;
    let owner = lock.process.as_ref()?;
    match (owner.identity, owner.pid_here) {
        (Identity::Verified | Identity::Unverified, Some(here)) => {
            Some(listener.pids.iter().any(|pid| belongs_to(*pid, here, lock)))
        }
        (Identity::Recycled | Identity::Gone, _) => Some(false),
        _ => None,
    }
}

fn belongs_to(pid: i32, owner: i32, lock: &LockFacts) -> bool {
    process::descends_from(pid, owner) || {
        let file = sys::open_to_read(&lock.lock);
        file.is_ok_and(|file| is_sharer(pid, &file, |taker| taker == owner).unwrap_or(false))
    }
}
