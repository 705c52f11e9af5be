//! A turn: what the holder of a session can do.

mod append;
mod lingering;
mod made;
mod open;
mod read;
mod release;
mod remove;
mod repair;
mod rewrite;
mod seen;
mod watch;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::data_lock::in_section;
use super::slot::{Hold, SlotRef};
use super::{fast_path, long_holds};
use crate::datafile::Section;
use crate::error::{Error, LostCause, Result, SessionChange};
use crate::lock::{self, Lock, Want};
use crate::metrics;
use crate::mode::Mode;
use crate::outside::note;
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::BorrowedFd;
use open::{Entered, OpenTurn};
use watch::Watch;

pub(crate) use lingering::{let_go_of_kept_lock, let_go_of_post, resume};
pub use rewrite::Rewritten;

/// The exclusive hold of a session.
///
/// End it with [`release`](Self::release), or drop it. A drop releases the turn as well, but cannot
/// say whether the turn had been lost.
///
/// Its methods take `&self`: several tasks can share it. What they do to the session is done one
/// after the other, in the order in which they asked for it.
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
    /// `None` once the turn was closed, so that no abandoned append can write any more.
    open: Mutex<Option<OpenTurn>>,
    watch: Watch,
}

impl Turn {
    /// Begins a turn, with the data lock still held. From now on the turn owns the stage of the
    /// turn queue.
    pub(crate) fn begin(slot: SlotRef, want: &Want, lock: Lock, mut section: Section) -> Self {
        // A foreign owner may have written until a moment ago. If the length cannot be read again,
        // what was written counts as posts.
        let _ = section.look_again();
        let run = slot.begin_run(lock.predecessor(), want.owner);
        slot.count_turn();
        Self::with(slot, want, OpenTurn::new(lock, section, run, None))
    }

    fn with(slot: SlotRef, want: &Want, open: OpenTurn) -> Self {
        let since = Instant::now();
        note!(DEBUG, [slot = slot.clone(), owner = want.owner, label = want.label.clone()],
            session = %slot.place.session().display(),
            %owner,
            label = label.as_deref(),
            "turn begins");
        *slot.hold.lock() = Some(Hold {
            owner: want.owner,
            lock: Arc::downgrade(open.lock.pinned()),
            label: want.label.clone(),
            since,
            rules: Arc::clone(&want.rules),
            reported: false,
        });
        fast_path::answered(slot.mount());
        long_holds::look_at(since.checked_add(want.rules.max_hold));
        let inner = Inner {
            slot,
            owner: want.owner,
            label: want.label.clone(),
            since,
            rules: Arc::clone(&want.rules),
            open: Mutex::new(Some(open)),
            watch: Watch::default(),
        };
        Self { inner: Arc::new(inner) }
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

    /// The identity of this hold: new for every turn, and recorded in the lock file.
    #[must_use]
    pub fn owner(&self) -> Uuid {
        self.inner.owner
    }

    /// What the holder said it is doing.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.inner.label.as_deref()
    }

    /// Whether this turn created the session file, and nothing was written into it so far.
    pub(crate) fn made_session(&self) -> bool {
        self.inner.open.lock().as_ref().is_some_and(OpenTurn::made_session)
    }

    /// How long the turn has been held.
    #[must_use]
    pub fn held_for(&self) -> Duration {
        self.inner.since.elapsed()
    }

    /// Whether the turn has been lost (it was revoked, or its lock file was removed), so that a
    /// pipeline can stop early.
    ///
    /// `None` is no promise for the next append, which checks for itself.
    ///
    /// **Blocking**: two quick system calls. It never waits for a lock.
    ///
    /// # Errors
    /// If the lock file cannot be looked at.
    pub fn lost(&self) -> Result<Option<LostCause>> {
        match &*self.inner.open.lock() {
            Some(open) => open.lock.lost(&self.inner.slot.place),
            None => Ok(Some(LostCause::Closed)),
        }
    }

    /// Releases the turn. The next waiter gets it at once. While this process takes turn after
    /// turn, a waiter of another process gets it within a millisecond.
    ///
    /// **Cancel safety**: dropped before it is done, it releases the turn all the same.
    /// **Blocking**: on a local filesystem the release runs in place and takes some tens of
    /// microseconds. Elsewhere, and for a while after a release or an acquire that took longer than
    /// a millisecond, file work is done on tokio's blocking pool.
    ///
    /// # Errors
    /// [`Error::LockLost`] if the release found that the turn had been lost. It does not look in
    /// every case. The turn is released in any case.
    pub async fn release(self) -> Result<()> {
        self.release_as(Mode::Async).await
    }

    pub(crate) async fn release_as(self, mode: Mode) -> Result<()> {
        self.close_as(mode).await
    }

    /// [`release`](Self::release) for threads that may block.
    ///
    /// # Errors
    /// Those of [`release`](Self::release).
    pub fn release_blocking(self) -> Result<()> {
        self.inner.release()
    }

    /// Releases the turn, for a program that shares it and cannot give it away. All that is done
    /// with the turn afterwards fails with [`LostCause::Closed`]. A turn that is closed already
    /// stays so.
    ///
    /// An append that is under way ends first. **Cancel safety** and **Blocking** are those of
    /// [`release`](Self::release).
    ///
    /// # Errors
    /// Those of [`release`](Self::release), once.
    pub async fn close(&self) -> Result<()> {
        self.close_as(Mode::Async).await
    }

    async fn close_as(&self, mode: Mode) -> Result<()> {
        if mode == Mode::Async
            && let Some(released) = self.inner.release_on_fast_path()
        {
            return released;
        }
        let inner = Arc::clone(&self.inner);
        mode.run(move || inner.release()).await?
    }

    /// [`close`](Self::close) for threads that may block.
    ///
    /// # Errors
    /// Those of [`close`](Self::close).
    pub fn close_blocking(&self) -> Result<()> {
        self.inner.release()
    }

    /// Lends the locked descriptor to a child process that is to inherit the lock, as with
    /// `flock(1)`. `None` after a release.
    ///
    /// The lock then falls only when all processes that have the descriptor are gone, or when this
    /// process releases the turn.
    #[cfg(unix)]
    pub fn with_lock_fd<T>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let mut open = self.inner.open.lock();
        let open = open.as_mut()?;
        self.inner.tell_children(open);
        Some(use_it(open.lock.lend()))
    }

    /// Runs `work` under the data lock, if the turn is open.
    async fn with_section<R: Send + 'static>(
        &self,
        mode: Mode,
        work: impl FnOnce(&Inner, &mut OpenTurn, Section) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let inner = Arc::clone(&self.inner);
        let limit = inner.rules.wait_limit();
        let mut work = Some(work);
        in_section(inner.slot.clone(), mode, limit, true, move |granted| {
            let mut open = inner.open.lock();
            let open = open.as_mut().ok_or_else(|| inner.closed())?;
            let Some(section) = inner.enter_section(open, granted, true)? else {
                return Ok(None);
            };
            // The operation ends with the work, and so does not come here twice.
            let work = work.take().ok_or_else(|| inner.closed())?;
            work(&inner, open, section).map(Some)
        })
        .await
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
        if let LostCause::Removed | LostCause::Replaced | LostCause::Moved | LostCause::TakenOver =
            cause
        {
            metrics::lost(&self.slot.place);
        }
        Error::LockLost { lock: self.slot.place.lock().to_owned(), cause }
    }

    fn closed(&self) -> Error {
        self.lost(LostCause::Closed)
    }

    /// Enters a section: `None` if another process has the data lock. Fails if what was seen of the
    /// session is not there any more (I11).
    fn enter_section(
        &self,
        open: &mut OpenTurn,
        granted: Option<Section>,
        thoroughly: bool,
    ) -> Result<Option<Section>> {
        match open.enter_section(granted, &self.slot.place, thoroughly, &self.rules)? {
            Entered::Section(section) => Ok(Some(section)),
            Entered::Busy => Ok(None),
            Entered::Changed(how) => {
                // Whoever has lost the turn is told that.
                self.fence(open)?;
                Err(self.changed(how))
            }
        }
    }

    /// Tells the children of this process what they are to find of the session.
    fn tell_children(&self, open: &OpenTurn) {
        lock::tell(open.lock.pinned(), self.owner, open.seen.view());
    }

    fn changed(&self, how: SessionChange) -> Error {
        Error::Changed { session: self.slot.place.session().to_owned(), how }
    }

    /// The fence (I4): fails if the turn is not this holder's any more.
    fn fence(&self, open: &OpenTurn) -> Result<()> {
        self.unless_lost(open.lock.lost(&self.slot.place)?)
    }

    /// The fence at the begin of a section.
    fn fence_in(&self, open: &OpenTurn, section: &Section) -> Result<()> {
        self.unless_lost(open.lock.lost_in(section)?)
    }

    fn unless_lost(&self, lost: Option<LostCause>) -> Result<()> {
        lost.map_or(Ok(()), |cause| Err(self.lost(cause)))
    }
}
