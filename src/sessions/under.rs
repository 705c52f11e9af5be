//! An append by a child of the holder, under the holder's turn.
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::Sessions;
use crate::datafile::{Appended, Batch, Section};
use crate::error::Result;
use crate::lock::fence;
use crate::mode::{Mode, now_or_never};
use crate::place::Place;
use crate::rules::Rules;
use crate::session::SlotRef;
use crate::session::data_queue::{in_section, section_of};

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
        let lines = Batch::of(lines)?;
        self.append_lines_under(Mode::Async, path.as_ref(), owner, lines).await
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
        now_or_never(self.append_lines_under(
            Mode::Blocking,
            path.as_ref(),
            owner,
            Batch::of(lines)?,
        ))
    }

    async fn append_lines_under(
        &self,
        mode: Mode,
        path: &Path,
        owner: Uuid,
        lines: Batch,
    ) -> Result<Appended> {
        let (deadline, limit) = (self.rules.deadline(), self.rules.acquire_timeout);
        let resolve = {
            let path = path.to_owned();
            move || Place::resolve(&path, false).map(SlotRef::of)
        };
        let slot = mode.run(resolve).await??;
        let operation = {
            let (slot, rules) = (slot.clone(), Arc::clone(&self.rules));
            move |granted| append(granted, &slot.place, owner, &lines, &rules)
        };
        in_section(slot, mode, deadline, limit, true, operation).await
    }
}

fn append(
    granted: Option<Section>,
    place: &Place,
    owner: Uuid,
    lines: &Batch,
    rules: &Rules,
) -> Result<Option<Appended>> {
    let Some(mut data) = section_of(granted, place, true)? else { return Ok(None) };
    let lock = fence::pass(place, &data, owner, rules)
        .inspect_err(|_| data.discard_unused(false, || Ok(())))?;
    let seen = data.len();
    Ok(Some(data.writer(rules.durability, seen, lock).append(lines)?))
}
