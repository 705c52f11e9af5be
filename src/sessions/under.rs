//! An append by a child process of the holder, under the holder's turn (I4).

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::Sessions;
use super::post::find_elsewhere;
use crate::datafile::{Appended, Batch, Section};
use crate::error::{Error, LostCause, Result};
use crate::lock::fence;
use crate::mode::{Mode, now_or_never};
use crate::place::Place;
use crate::rules::Rules;
use crate::session::SlotRef;
use crate::session::data_lock::{enter_section, in_section};

impl Sessions {
    /// Appends a batch of lines under a turn that another process holds.
    ///
    /// This is for a child process of the holder. It was told the turn's
    /// [`owner`](crate::Turn::owner), and writes instead of waiting for its own parent.
    ///
    /// The fence is that of the turn itself: the lock file still bears this owner, and the lock is
    /// still held. The kernel does not tell by whom, so the holder must tell the owner to nobody
    /// but its own children. While the holder takes turn after turn, a turn that has just ended may
    /// pass the fence for a millisecond more. What is written then still precedes the next turn.
    ///
    /// [`intervening`](Appended::intervening) is always 0, because a child has not looked before.
    ///
    /// **Cancel safety** and **Blocking** are those of
    /// [`Turn::append_all`](crate::Turn::append_all).
    ///
    /// # Errors
    /// - [`Error::LockLost`](crate::Error::LockLost) if that turn is over or was revoked, or if
    ///   another owner has taken over
    /// - otherwise those of [`Turn::append_all`](crate::Turn::append_all)
    pub async fn append_under<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        owner: Uuid,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let batch = Batch::of(lines)?;
        self.append_batch_under(Mode::Async, path.as_ref(), owner, batch).await
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
        let batch = Batch::of(lines)?;
        now_or_never(self.append_batch_under(Mode::Blocking, path.as_ref(), owner, batch))
    }

    async fn append_batch_under(
        &self,
        mode: Mode,
        path: &Path,
        owner: Uuid,
        batch: Batch,
    ) -> Result<Appended> {
        let limit = self.rules.wait_limit();
        let path = path.to_owned();
        let find = |path: &Path| Place::resolve(path, false).map(SlotRef::of);
        let slot = find_elsewhere(mode, path, limit, find).await?;
        let (place, rules) = (slot.place.clone(), Arc::clone(&self.rules));
        in_section(slot, mode, limit, true, move |granted| {
            append(granted, &place, owner, &batch, &rules)
        })
        .await
    }
}

fn append(
    granted: Option<Section>,
    place: &Place,
    owner: Uuid,
    batch: &Batch,
    rules: &Rules,
) -> Result<Option<Appended>> {
    let Some(mut section) = enter_section(granted, place, true)? else { return Ok(None) };
    let lock_id = fence::pass(place, &section, owner, rules)
        .inspect_err(|_| section.discard_unused(false, || Ok(())))?;
    if section.is_claimed_elsewhere(rules) {
        let (lock, cause) = (place.lock().to_owned(), LostCause::OtherName);
        return Err(Error::LockLost { lock, cause });
    }
    let seen = section.len();
    Ok(Some(section.writer(rules.durability, seen, lock_id).append(batch)?))
}
