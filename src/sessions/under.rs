//! An append by a child of the holder, under the holder's turn.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::data::{Door, Reached, under_data_lock};
use super::{Rules, Sessions, data_lock};
use crate::caller::{Caller, at_once};
use crate::error::Result;
use crate::lockfile::fence;
use crate::place::Place;
use crate::registry::SlotRef;
use crate::transcript::{Appended, Lines};

impl Sessions {
    /// Appends a batch of lines under a turn that another process holds: for a child of the holder, which was told the turn's
    /// [`owner`](crate::Turn::owner) and writes instead of waiting for its own parent.
    ///
    /// The fence is that of the turn itself: the lock file still bears this owner, and the lock is still held. The kernel does not
    /// tell by whom; telling the owner to nobody but the own children is the holder's part.
    /// [`intervening`](Appended::intervening) is always 0, since a child has not looked before. While the holder takes turn after turn, one that
    /// has just ended may count for a millisecond more; what is written then lies before the next turn all the same.
    ///
    /// **Cancel safety** and **blocking** are those of [`Turn::append_all`](crate::Turn::append_all).
    ///
    /// # Errors
    /// [`Error::LockLost`](crate::Error::LockLost) if that turn is over, was revoked, or another has taken over; the rest as for
    /// [`Turn::append_all`](crate::Turn::append_all).
    pub async fn append_under<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        owner: Uuid,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let lines = Lines::of(lines)?;
        self.append_lines_under(Caller::Task, path.as_ref(), owner, lines).await
    }

    /// [`append_under`](Self::append_under) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_under`](Self::append_under).
    pub fn append_under_blocking<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        owner: Uuid,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        at_once(self.append_lines_under(Caller::Thread, path.as_ref(), owner, Lines::of(lines)?))
    }

    async fn append_lines_under(
        &self,
        caller: Caller,
        path: &Path,
        owner: Uuid,
        lines: Lines,
    ) -> Result<Appended> {
        let (deadline, limit) = (self.rules.deadline(), self.rules.acquire_timeout);
        let resolve = {
            let path = path.to_owned();
            move || Place::resolve(&path, false).map(SlotRef::of)
        };
        let slot = caller.run(resolve).await??;
        let operation = {
            let (slot, rules) = (slot.clone(), Arc::clone(&self.rules));
            move |door| append(door, &slot.place, owner, &lines, &rules)
        };
        under_data_lock(slot, caller, deadline, limit, true, operation).await
    }
}

fn append(
    door: Door,
    place: &Place,
    owner: Uuid,
    lines: &Lines,
    rules: &Rules,
) -> Result<Reached<Appended>> {
    let Some(mut data) = data_lock(door, place, true)? else { return Ok(Reached::Busy) };
    let lock = fence::pass(place, &data, owner, rules)
        .inspect_err(|_| data.discard_unused(false, || Ok(())))?;
    let seen = data.len();
    Ok(Reached::Done(data.append(lines, rules.durability, seen, lock)?))
}
