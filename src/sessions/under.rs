//! An append by a child process of the holder, under the holder's turn (I4).

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::Sessions;
use super::post::find_elsewhere;
use crate::datafile::{Appended, Batch, Section, View};
use crate::error::{Context, Error, LostCause, Result, SessionChange};
use crate::lock::{self, fence};
use crate::mode::{Mode, now_or_never};
use crate::place::Place;
use crate::rules::{Rules, WaitLimit};
use crate::session::SlotRef;
use crate::session::data_lock::{enter_section, in_section};
use crate::sys::Pinned;

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
    /// But it is told, as the holder itself would be, if another program has removed, replaced or
    /// cut the session since the turn was lent or another child has appended. Where the filesystem
    /// has no extended attributes, it is told only of a session that was removed.
    ///
    /// **Cancel safety** and **Blocking** are those of
    /// [`Turn::append_all`](crate::Turn::append_all).
    ///
    /// # Errors
    /// - [`Error::LockLost`] if that turn is over or was revoked, or if
    ///   another owner has taken over
    /// - [`Error::Changed`] if the session is not what the turn and its children have seen of it;
    ///   [`accept_under`](Self::accept_under) accepts it as it is now
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

    /// Goes on with the session as it is now, under a turn that another process holds, after
    /// [`append_under`](Self::append_under) failed with [`Error::Changed`]. A session that was
    /// removed is created anew, empty.
    ///
    /// **Cancel safety** and **Blocking** are those of
    /// [`Turn::append_all`](crate::Turn::append_all).
    ///
    /// # Errors
    /// Those of [`append_under`](Self::append_under), except for `Changed`.
    pub async fn accept_under(&self, path: impl AsRef<Path>, owner: Uuid) -> Result<()> {
        self.accept_under_as(Mode::Async, path.as_ref(), owner).await
    }

    /// [`accept_under`](Self::accept_under) for threads that may block.
    ///
    /// # Errors
    /// Those of [`accept_under`](Self::accept_under).
    pub fn accept_under_blocking(&self, path: impl AsRef<Path>, owner: Uuid) -> Result<()> {
        now_or_never(self.accept_under_as(Mode::Blocking, path.as_ref(), owner))
    }

    async fn append_batch_under(
        &self,
        mode: Mode,
        path: &Path,
        owner: Uuid,
        batch: Batch,
    ) -> Result<Appended> {
        let limit = self.rules.wait_limit();
        let mut child = self.child(mode, path, owner).await?;
        loop {
            let operation = {
                let (child, batch) = (child.clone(), batch.clone());
                move |granted| child.append(granted, &batch)
            };
            match in_section(child.slot.clone(), mode, limit, child.create, operation).await {
                Err(Error::NoSession { .. }) if !child.create => {
                    child = child.look_without_session(mode, limit).await?;
                }
                appended => return appended,
            }
        }
    }

    async fn accept_under_as(&self, mode: Mode, path: &Path, owner: Uuid) -> Result<()> {
        let limit = self.rules.wait_limit();
        let child = Child { create: true, ..self.child(mode, path, owner).await? };
        let slot = child.slot.clone();
        in_section(slot, mode, limit, true, move |granted| child.accept(granted)).await
    }

    async fn child(&self, mode: Mode, path: &Path, owner: Uuid) -> Result<Child> {
        let path = path.to_owned();
        let find = |path: &Path| Place::resolve(path, false).map(SlotRef::of);
        let slot = find_elsewhere(mode, path, self.rules.wait_limit(), find).await?;
        Ok(Child { slot, owner, create: false, rules: Arc::clone(&self.rules) })
    }
}

/// A child of the holder.
#[derive(Clone)]
struct Child {
    slot: SlotRef,
    owner: Uuid,
    /// Whether a missing session file is created.
    create: bool,
    rules: Arc<Rules>,
}

impl Child {
    fn append(&self, granted: Option<Section>, batch: &Batch) -> Result<Option<Appended>> {
        let Some((mut section, lock)) = self.enter(granted)? else { return Ok(None) };
        if let Some(told) = lock::told(&lock, self.owner)
            && let Some(how) = told.change(&section).context("read", self.session())?
        {
            // What was made for the look goes again.
            section.discard_unused(false, || Ok(()));
            return Err(self.changed(how));
        }
        let seen = section.len();
        let appended = section.writer(self.rules.durability, seen, &lock).append(batch)?;
        lock::tell(&lock, self.owner, Some(&View::of(&mut section, None)));
        Ok(Some(appended))
    }

    fn accept(&self, granted: Option<Section>) -> Result<Option<()>> {
        let Some((mut section, lock)) = self.enter(granted)? else { return Ok(None) };
        lock::tell(&lock, self.owner, Some(&View::of(&mut section, None)));
        Ok(Some(()))
    }

    /// The section, with the fence passed (I4).
    fn enter(&self, granted: Option<Section>) -> Result<Option<(Section, Pinned)>> {
        let place = &self.slot.place;
        let Some(mut section) = enter_section(granted, place, self.create)? else {
            return Ok(None);
        };
        let lock = fence::pass(place, &section, self.owner, &self.rules)
            .inspect_err(|_| section.discard_unused(false, || Ok(())))?;
        if section.is_claimed_elsewhere(&self.rules) {
            let (lock, cause) = (place.lock().to_owned(), LostCause::OtherName);
            return Err(Error::LockLost { lock, cause });
        }
        Ok(Some((section, lock)))
    }

    /// [`without_session`](Self::without_session). A disk that does not answer is waited for no
    /// longer than the rest.
    async fn look_without_session(self, mode: Mode, limit: WaitLimit) -> Result<Self> {
        let (disk, path) = (self.slot.disk(), self.session().to_owned());
        match mode.run_until(limit.deadline(), disk, move || self.without_session()).await? {
            Some(child) => child,
            None => Err(Error::NoAnswer { path, waited: limit.timeout() }),
        }
    }

    /// There is no session file. If the holder has seen nothing of it, it is created: the holder
    /// had created it for its data lock, and somebody has removed the empty file.
    fn without_session(self) -> Result<Self> {
        let lock = fence::look(&self.slot.place, self.owner, &self.rules)?;
        match lock::told(&lock, self.owner) {
            Some(told) if told.is_nothing() => Ok(Self { create: true, ..self }),
            _ => Err(self.changed(SessionChange::Removed)),
        }
    }

    fn changed(&self, how: SessionChange) -> Error {
        Error::Changed { session: self.session().to_owned(), how }
    }

    fn session(&self) -> &Path {
        self.slot.place.session()
    }
}
