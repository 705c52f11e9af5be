//! Appends by the holder.

use std::sync::Arc;

use serde::Serialize;

use super::open::OpenTurn;
use super::{Inner, Turn};
use crate::datafile::{Appended, Batch, Failed, Section};
use crate::error::{Context, Error, Result};
use crate::mode::{Mode, now_or_never};
use crate::session::data_lock::in_section;
use crate::session::fast_path;

impl Turn {
    /// Appends one line: `value` as JSON. See [`append_all`](Self::append_all).
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub async fn append<T: Serialize + ?Sized>(&self, value: &T) -> Result<Appended> {
        self.append_lines(Mode::Async, Batch::of([value])?).await
    }

    /// Appends a batch of lines: all of them, or nothing.
    ///
    /// With [`Durability::Sync`](crate::Durability::Sync), the default, they survive the loss of
    /// power once this returns. A torn line at the end of the file is sealed with a newline first.
    ///
    /// **Cancel safety**: every value is serialised before anything is touched. An append that is
    /// dropped while it waits writes nothing. Dropped while it writes, it writes all or nothing,
    /// and never into the turn of another holder.
    /// **Blocking**: file work is done on tokio's blocking pool. The data lock is waited for as
    /// long as a turn is, at most.
    ///
    /// # Errors
    /// - [`Error::LockLost`] if the turn is not this holder's any more
    /// - [`Error::BadLine`] if a value cannot be serialised as JSON
    /// - [`Error::DataLockBusy`] if another process stays inside an append
    /// - [`Error::SyncFailed`] after an earlier sync has failed
    /// - [`Error::Changed`] if another program has removed, replaced or cut the session during this
    ///   turn; a [`read`](Self::read) accepts it as it is now
    /// - [`Error::Overtaken`] if another program has taken over meanwhile
    /// - [`Error::Io`], for example on a full disk
    ///
    /// After any of them but `Overtaken` the file is as it was before. If the disk did not let a
    /// partial line be cut off, the error says so, and the next append seals that line.
    pub async fn append_all<T: Serialize>(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let batch = Batch::of(values)?;
        self.append_lines(Mode::Async, batch).await
    }

    /// [`append`](Self::append) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub fn append_blocking<T: Serialize + ?Sized>(&self, value: &T) -> Result<Appended> {
        now_or_never(self.append_lines(Mode::Blocking, Batch::of([value])?))
    }

    /// [`append_all`](Self::append_all) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub fn append_all_blocking<T: Serialize>(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        now_or_never(self.append_lines(Mode::Blocking, Batch::of(values)?))
    }

    /// [`append_all`](Self::append_all) with lines that were serialised before.
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all), except for `BadLine`.
    pub async fn append_batch(&self, batch: &Batch) -> Result<Appended> {
        self.append_lines(Mode::Async, batch.clone()).await
    }

    /// [`append_batch`](Self::append_batch) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_batch`](Self::append_batch).
    pub fn append_batch_blocking(&self, batch: &Batch) -> Result<Appended> {
        now_or_never(self.append_lines(Mode::Blocking, batch.clone()))
    }

    /// [`append`](Self::append) with a line that is JSON already; see [`Batch::json`].
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub async fn append_json(&self, line: &[u8]) -> Result<Appended> {
        self.append_lines(Mode::Async, Batch::json(line)?).await
    }

    /// [`append_json`](Self::append_json) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub fn append_json_blocking(&self, line: &[u8]) -> Result<Appended> {
        now_or_never(self.append_lines(Mode::Blocking, Batch::json(line)?))
    }

    pub(crate) async fn append_lines(&self, mode: Mode, batch: Batch) -> Result<Appended> {
        let inner = Arc::clone(&self.inner);
        let (slot, limit) = (inner.slot.clone(), inner.rules.wait_limit());
        in_section(slot, mode, limit, true, move |granted| inner.append(granted, &batch)).await
    }

    /// Makes everything that this turn has appended survive the loss of power.
    ///
    /// **Cancel safety**: dropped, the sync runs to its end. **Blocking**: file work is done on
    /// tokio's blocking pool.
    ///
    /// # Errors
    /// - [`Error::Io`] if the sync fails; from then on the turn refuses appends with
    ///   [`Error::SyncFailed`]
    /// - [`Error::Changed`] if another program has removed, replaced or cut the file
    pub async fn sync(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        Mode::Async.run(move || inner.sync()).await?
    }

    /// [`sync`](Self::sync) for threads that may block.
    ///
    /// # Errors
    /// Those of [`sync`](Self::sync).
    pub fn sync_blocking(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        now_or_never(Mode::Blocking.run(move || inner.sync()))?
    }
}

impl Inner {
    /// One append, which never waits. `None` if the data lock is busy.
    fn append(&self, granted: Option<Section>, batch: &Batch) -> Result<Option<Appended>> {
        let mut open = self.open.lock();
        let open = open.as_mut().ok_or_else(|| self.closed())?;
        match self.begin_append(open, granted)? {
            Some(section) => self.append_in(open, section, batch).map(Some),
            None => Ok(None),
        }
    }

    /// Enters a section to append. `None` if the data lock is busy.
    pub(super) fn begin_append(
        &self,
        open: &mut OpenTurn,
        granted: Option<Section>,
    ) -> Result<Option<Section>> {
        if let Some(reason) = &open.sync_failed {
            let session = self.slot.place.session().to_owned();
            return Err(Error::SyncFailed { session, reason: reason.to_string() });
        }
        self.enter_section(open, granted, false)
    }

    pub(super) fn append_in(
        &self,
        open: &mut OpenTurn,
        mut section: Section,
        batch: &Batch,
    ) -> Result<Appended> {
        let appended = self.append_under(open, &mut section, batch);
        open.session = section.unlock();
        fast_path::answered(self.slot.mount());
        appended
    }

    fn append_under(
        &self,
        open: &mut OpenTurn,
        section: &mut Section,
        batch: &Batch,
    ) -> Result<Appended> {
        self.fence_in(open, section)?;
        let (durability, lock) = (self.rules.durability, open.lock.pinned());
        match section.writer(durability, open.seen.end(), lock).append(batch) {
            Ok(appended) => {
                let intervening = open.seen.appended(section, batch, &appended);
                Ok(Appended { intervening, ..appended })
            }
            Err(Failed::Sync(error)) => {
                open.sync_failed = Some(error.to_string().into());
                Err(error)
            }
            Err(Failed::Write(error)) => Err(error),
        }
    }

    fn sync(&self) -> Result<()> {
        let mut open = self.open.lock();
        let open = open.as_mut().ok_or_else(|| self.closed())?;
        let place = &self.slot.place;
        if let Some(how) = open.seen.change_at(place)? {
            return Err(self.changed(how));
        }
        let session = open.take_session(place, false)?;
        let mut session =
            session.ok_or_else(|| Error::NoSession { path: place.session().to_owned() })?;
        let synced = session.sync(place);
        if let Err(source) = &synced {
            open.sync_failed = Some(source.to_string().into());
        }
        open.session = Some(session);
        synced.context("sync", place.session())
    }
}
