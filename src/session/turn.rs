//! A turn: what the holder of a session can do.
mod contents;
mod linger;
mod release;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use super::data_queue::in_section;
use super::long_holds;
use super::run::Run;
use super::slot::{Hold, SlotRef};
use crate::datafile::{Appended, Batch, Failed, Locking, SOON, Section, SessionFile};
use crate::error::{Error, LostCause, Result};
use crate::lock::{Lock, Want};
use crate::metrics;
use crate::mode::{Mode, now_or_never};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{BorrowedFd, FileId};

pub use contents::Rewritten;
pub(crate) use linger::{leave_to_others, let_go_of_post, resume};
use release::Let;

/// The exclusive hold of a session.
///
/// Release it with [`release`](Self::release), or drop it: a drop releases as well, but cannot say whether the turn had been lost.
#[must_use = "a turn that is dropped is released at once"]
pub struct Turn {
    inner: Arc<Inner>,
}

struct Inner {
    slot: SlotRef,
    owner: Uuid,
    label: Option<Arc<str>>,
    since: Instant,
    rules: Arc<Rules>,
    /// What the turn holds. Closing it takes this out, so that no abandoned append can use it.
    grip: Mutex<Option<Grip>>,
}

pub(crate) struct Grip {
    lock: Lock,
    session: Option<SessionFile>,
    /// Which file the offsets below are of.
    file: Option<FileId>,
    /// How far into the file this holder has looked …
    seen: u64,
    /// … but for these posts, of which it only knows that they are there.
    unread: Vec<Range<u64>>,
    /// A repair has moved lines that were not read …
    read_first: bool,
    /// … and so many bytes of them were not even told of.
    untold: u64,
    /// Why the first failed sync failed.
    sync_failed: Option<Box<str>>,
    run: Run,
}

impl Turn {
    /// A turn begins, with the data lock still held; the line's stage is the turn's from now on.
    pub(crate) fn begin(slot: SlotRef, want: &Want, lock: Lock, mut data: Section) -> Self {
        // A foreign owner may have written until a moment ago. If it cannot be told, that counts as posts.
        let _ = data.look_again();
        let run = slot.begin_run(lock.predecessor());
        let grip = Grip::new(lock, data, run);
        Self::with(slot, want, grip)
    }

    fn with(slot: SlotRef, want: &Want, grip: Grip) -> Self {
        let since = Instant::now();
        tracing::debug!(session = %slot.place.session().display(), owner = %want.owner, label = want.label.as_deref(), "turn begins");
        *slot.hold.lock() = Some(Hold {
            owner: want.owner,
            lock: grip.lock.id(),
            label: want.label.clone(),
            since,
            rules: Arc::clone(&want.rules),
            reported: false,
        });
        long_holds::report_at(since.checked_add(want.rules.max_hold));
        Self {
            inner: Arc::new(Inner {
                slot,
                owner: want.owner,
                label: want.label.clone(),
                since,
                rules: Arc::clone(&want.rules),
                grip: Mutex::new(Some(grip)),
            }),
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.inner.slot.place
    }

    /// The session file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.slot.place.session()
    }

    /// The lock file.
    #[must_use]
    pub fn lock_path(&self) -> &Path {
        self.inner.slot.place.lock()
    }

    /// This hold's identity: new for every turn, and written in the lock file.
    #[must_use]
    pub fn owner(&self) -> Uuid {
        self.inner.owner
    }

    /// What the holder said it is doing.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.inner.label.as_deref()
    }

    /// Whether there was no session file before, so that this turn had to make one.
    pub(crate) fn made_session(&self) -> bool {
        self.inner.grip.lock().as_ref().is_some_and(Grip::made_session)
    }

    /// For how long the turn has been held.
    #[must_use]
    pub fn held_for(&self) -> Duration {
        self.inner.since.elapsed()
    }

    /// Whether the turn has been lost (revoked, or its lock file removed), so that a pipeline can stop early.
    ///
    /// `None` is no promise for the next append, which looks for itself. Two quick system calls; never waits for a lock.
    ///
    /// # Errors
    /// If the lock file cannot be looked at.
    pub fn lost(&self) -> Result<Option<LostCause>> {
        match &*self.inner.grip.lock() {
            Some(grip) => grip.lock.lost(&self.inner.slot.place),
            None => Ok(Some(LostCause::Closed)),
        }
    }

    /// Appends one line: `value` as JSON. See [`append_all`](Self::append_all).
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub async fn append<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Appended> {
        self.append_lines(Mode::Async, Batch::of([value])?).await
    }

    /// Appends a batch of lines: all of them, or nothing.
    ///
    /// With [`Durability::Sync`](crate::Durability::Sync) (the default) they survive the loss of power once this returns.
    /// A torn line that somebody left at the end of the file is closed with a newline first.
    ///
    /// **Cancel safety.** Everything is serialised before anything is touched. An append that is dropped while it waits writes
    /// nothing; dropped while it writes, it writes all or nothing, and never into another's turn.
    ///
    /// **Blocking.** The file work is done on tokio's blocking pool; the data lock is waited for at most as long as a turn is.
    ///
    /// # Errors
    /// [`Error::LockLost`] if the turn is not this holder's any more; [`Error::BadLine`] if a value is no JSON;
    /// [`Error::DataLockBusy`] if another process stays inside an append; [`Error::SyncFailed`] after an earlier failed sync;
    /// [`Error::Overtaken`]; [`Error::Io`], for example on a full disk. After any but `Overtaken` the file is as it was before, unless the
    /// disk did not let a part of a line be taken back: that is said, and the next append closes it.
    pub async fn append_all<T: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let lines = Batch::of(values)?;
        self.append_lines(Mode::Async, lines).await
    }

    /// [`append`](Self::append) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub fn append_blocking<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Appended> {
        now_or_never(self.append_lines(Mode::Blocking, Batch::of([value])?))
    }

    /// [`append_all`](Self::append_all) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all).
    pub fn append_all_blocking<T: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        now_or_never(self.append_lines(Mode::Blocking, Batch::of(values)?))
    }

    pub(crate) async fn append_lines(&mut self, mode: Mode, lines: Batch) -> Result<Appended> {
        let inner = Arc::clone(&self.inner);
        let deadline = inner.rules.deadline();
        let slot = inner.slot.clone();
        in_section(slot, mode, deadline, inner.rules.acquire_timeout, true, move |granted| {
            inner.append(granted, &lines)
        })
        .await
    }

    /// Makes everything that this turn has appended survive the loss of power.
    ///
    /// **Cancel safe.** The file work is done on tokio's blocking pool.
    ///
    /// # Errors
    /// [`Error::Io`] if it fails; from then on the turn refuses appends with [`Error::SyncFailed`]. [`Error::Overtaken`] or
    /// [`Error::NoSession`] if another program has put another file in place, or removed it.
    pub async fn sync(&mut self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        Mode::Async.run(move || inner.sync()).await?
    }

    /// [`sync`](Self::sync) for threads that may block.
    ///
    /// # Errors
    /// Those of [`sync`](Self::sync).
    pub fn sync_blocking(&mut self) -> Result<()> {
        self.inner.sync()
    }

    /// Releases the turn: the next waiter has it at once, or, while this process takes turn after turn, within a millisecond.
    ///
    /// **Cancel safe**: dropped before it is done, the turn is released all the same.
    /// **Blocking**: on a local filesystem it is done in place, in some tens of microseconds. If that took longer than a millisecond, and
    /// elsewhere, file work is done on tokio's blocking pool.
    ///
    /// # Errors
    /// [`Error::LockLost`] if the turn had been lost before, as far as that was looked at; it is released in every case.
    pub async fn release(self) -> Result<()> {
        self.release_as(Mode::Async).await
    }

    pub(crate) async fn release_as(self, mode: Mode) -> Result<()> {
        if mode == Mode::Async
            && let Some(released) = self.inner.release_in_place()
        {
            return released;
        }
        mode.run(move || self.release_blocking()).await?
    }

    /// [`release`](Self::release) for threads that may block.
    ///
    /// # Errors
    /// Those of [`release`](Self::release).
    pub fn release_blocking(self) -> Result<()> {
        let grip = self.inner.grip.lock().take();
        match grip.map(|grip| self.inner.let_go(grip, true)) {
            Some(Let::Gone(None)) | None => Ok(()),
            Some(Let::Gone(Some(cause))) => Err(self.inner.lost(cause)),
            // A patient release is never put off.
            Some(Let::NotNow(grip)) => {
                self.inner.leave(*grip, false);
                Ok(())
            }
        }
    }

    /// The locked descriptor, for a child process that is to inherit the lock as with `flock(1)`: `None` after a release.
    ///
    /// The lock does not fall before all who have the descriptor are gone, unless this process releases it.
    #[cfg(unix)]
    pub fn with_lock_fd<T>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.inner.grip.lock().as_mut().map(|grip| use_it(grip.lock.lend()))
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("session", &self.path())
            .field("owner", &self.inner.owner)
            .field("label", &self.inner.label)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn lost(&self, cause: LostCause) -> Error {
        if let LostCause::Removed | LostCause::Replaced | LostCause::TakenOver = cause {
            metrics::lost(&self.slot.place);
        }
        Error::LockLost { lock: self.slot.place.lock().to_owned(), cause }
    }

    /// One append, as far as it can go without waiting.
    fn append(&self, granted: Option<Section>, lines: &Batch) -> Result<Option<Appended>> {
        let mut grip = self.grip.lock();
        let grip = grip.as_mut().ok_or_else(|| self.lost(LostCause::Closed))?;
        if let Some(reason) = &grip.sync_failed {
            return Err(Error::SyncFailed {
                session: self.slot.place.session().to_owned(),
                reason: reason.to_string(),
            });
        }
        let Some(mut data) = grip.data_lock(granted, &self.slot)? else { return Ok(None) };
        let appended = self.append_under(grip, &mut data, lines);
        grip.session = data.unlock();
        appended.map(Some)
    }

    fn append_under(&self, grip: &mut Grip, data: &mut Section, lines: &Batch) -> Result<Appended> {
        if let Some(cause) = grip.lock.lost(&self.slot.place)? {
            return Err(self.lost(cause));
        }
        match data.writer(self.rules.durability, grip.seen, grip.lock.id()).append(lines) {
            Ok(appended) => {
                if appended.intervening > 0 {
                    grip.unread.push(grip.seen..grip.seen + appended.intervening);
                }
                grip.seen = data.len();
                let untold = std::mem::take(&mut grip.untold);
                Ok(Appended { intervening: appended.intervening + untold, ..appended })
            }
            Err(Failed::Sync(error)) => {
                grip.sync_failed = Some(error.to_string().into());
                Err(error)
            }
            Err(Failed::Write(error)) => Err(error),
        }
    }

    fn sync(&self) -> Result<()> {
        let mut grip = self.grip.lock();
        let grip = grip.as_mut().ok_or_else(|| self.lost(LostCause::Closed))?;
        let place = &self.slot.place;
        let session = grip.take_session(place, false)?;
        if Some(session.id()) != grip.file {
            return Err(Error::Overtaken { session: place.session().to_owned() });
        }
        let synced = session.sync(place).map_err(|source: io::Error| {
            grip.sync_failed = Some(source.to_string().into());
            Error::Io { action: "sync", path: place.session().to_owned(), source }
        });
        grip.session = Some(session);
        synced
    }
}

impl Grip {
    fn new(lock: Lock, data: Section, run: Run) -> Self {
        let (file, seen) = (data.id(), data.len());
        Self {
            lock,
            session: data.unlock(),
            file,
            seen,
            unread: Vec::new(),
            read_first: false,
            untold: 0,
            sync_failed: None,
            run,
        }
    }

    /// The data lock: the one that was waited for, or that of the turn's own descriptor if it is free.
    fn data_lock(&mut self, granted: Option<Section>, slot: &SlotRef) -> Result<Option<Section>> {
        let mut data = self.take_data_lock(granted, slot)?;
        if let Some(data) = &mut data
            && data.id() != self.file
        {
            if !matches!(self.lock.lost(&slot.place), Ok(None)) {
                // A turn that was lost makes no session file.
                data.discard_unused(false, || Ok(()));
            }
            // Another program has put a new file in place, of which nothing was read yet.
            (self.file, self.seen, self.read_first, self.untold) = (data.id(), 0, true, 0);
            self.unread.clear();
        }
        Ok(data)
    }

    fn take_data_lock(
        &mut self,
        granted: Option<Section>,
        slot: &SlotRef,
    ) -> Result<Option<Section>> {
        self.refuse_a_fork(slot)?;
        if let Some(data) = granted {
            return Ok(Some(data));
        }
        let place = &slot.place;
        let session = self.take_session(place, true)?;
        match session.try_lock(place, true)? {
            Locking::Locked(data) => Ok(Some(data)),
            Locking::Busy(session) => {
                self.session = Some(session);
                Ok(None)
            }
            Locking::Missing => Err(Error::NoSession { path: place.session().to_owned() }),
        }
    }

    /// It shares the descriptor with its parent, who may be in its section just now: to let go of the data lock would end that.
    fn refuse_a_fork(&self, slot: &SlotRef) -> Result<()> {
        if self.lock.is_forked() {
            return Err(Error::LockLost {
                lock: slot.place.lock().to_owned(),
                cause: LostCause::Forked,
            });
        }
        Ok(())
    }

    fn take_session(&mut self, place: &Place, create: bool) -> Result<SessionFile> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => SessionFile::open(place, create)?
                .ok_or_else(|| Error::NoSession { path: place.session().to_owned() }),
        }
    }

    /// Which file it is, and how long, at a moment when nobody of our protocol writes to it: what is written then may yet be taken back.
    /// `None` if somebody stays inside an append.
    fn settled(&mut self, slot: &SlotRef) -> Result<Option<(Option<FileId>, u64)>> {
        self.refuse_a_fork(slot)?;
        let session = self.take_session(&slot.place, false)?;
        match session.lock_within(SOON, &slot.place, false)? {
            Ok(data) => {
                let settled = (data.id(), data.len());
                self.session = data.unlock();
                Ok(Some(settled))
            }
            Err(busy) => {
                self.session = Some(busy);
                Ok(None)
            }
        }
    }

    /// Whether this turn made the session file, and nothing stood in it.
    fn made_session(&self) -> bool {
        self.seen == 0 && self.session.as_ref().is_some_and(SessionFile::is_made_by_us)
    }
}
