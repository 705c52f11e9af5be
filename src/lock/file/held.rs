//! A lock file that this process holds.

mod at_server;
mod lingering;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use uuid::Uuid;

use super::record::Reading;
use super::{Want, marks, record};
use crate::datafile::{Section, SessionFile};
use crate::error::{Context, LostCause, Result};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{AsFd, BorrowedFd, Found, Pinned, Stat, filesystem, flock};
pub(crate) use lingering::Lingering;

/// A lock file that this process holds. Dropping it lets go; the file stays, and is taken over.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: Arc<Pinned>,
    /// The record, as it was written.
    record: Box<[u8]>,
    /// The owner named in the record.
    owner: Uuid,
    /// Sequence number of this record within the process; at one path only the highest can still
    /// exist.
    number: u64,
    /// The owner it was taken over from, if that one used this protocol.
    predecessor: Option<Uuid>,
    /// The process that acquired it; [`NOBODY`] once it has let go.
    pid: u32,
    /// Whether another process may have the descriptor, and so the lock.
    lent: bool,
    /// Whether it bears the mark of a holder.
    is_marked: bool,
}

/// No process has this id.
const NOBODY: u32 = 0;

/// The sequence number of the next record that this process writes.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl LockFile {
    /// A lock file whose `flock` this process has just been granted.
    pub(super) fn locked(file: Arc<Pinned>) -> Self {
        Self {
            file,
            record: Box::default(),
            owner: Uuid::nil(),
            number: 0,
            predecessor: None,
            pid: std::process::id(),
            lent: false,
            is_marked: false,
        }
    }

    /// A new lock file: locked, with its record written.
    pub(super) fn filled(file: Pinned, place: &Place, record: Vec<u8>, want: &Want) -> Self {
        let mut held = Self::locked(Arc::new(file));
        held.bears(record, want.owner);
        held.mark(place, want);
        held
    }

    /// Takes over in place (I6), over the record that was read.
    pub(super) fn take_over(
        &mut self,
        place: &Place,
        section: &Section,
        old: &Reading,
        stat: &Stat,
        want: &Want,
    ) -> io::Result<()> {
        self.write(section, want, usize::try_from(stat.len).unwrap_or(usize::MAX))?;
        self.mark(place, want);
        self.follow(old);
        Ok(())
    }

    /// It was published in the place of one with this record.
    pub(super) fn after(mut self, old: &Reading) -> Self {
        self.follow(old);
        self
    }

    fn follow(&mut self, old: &Reading) {
        if let Reading::Ours(record) = old {
            self.predecessor = record.owner;
        }
    }

    /// Rewrites the record in place, for a new owner. `length` is that of the file.
    fn write(&mut self, section: &Section, want: &Want, length: usize) -> io::Result<()> {
        let made = section.unused_trace();
        let bytes = record::encode(want, made.as_deref(), SystemTime::now(), length);
        if filesystem::is_served(section.place().dir()) {
            record::rewrite_at_server(self.file(), &bytes, length)?;
        } else {
            record::rewrite(self.file(), &bytes, length)?;
        }
        self.bears(bytes, want.owner);
        Ok(())
    }

    /// This record has been written, under the data lock.
    fn bears(&mut self, record: Vec<u8>, owner: Uuid) {
        self.record = record.into_boxed_slice();
        self.owner = owner;
        self.number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
    }

    fn mark(&mut self, place: &Place, want: &Want) {
        if want.rules.marks(place.dir()) {
            marks::hold(self.file());
            self.is_marked = true;
        }
    }

    /// Hands the lock over to another waiter of this process: rewrites the record, and changes
    /// nothing else on disk.
    pub(crate) fn hand_over(&mut self, section: &Section, want: &Want) -> io::Result<()> {
        debug_assert!(!self.lent, "whoever has the descriptor has the lock");
        self.write(section, want, self.record.len())
    }

    /// How the lock was lost, if it was (I4). Under the data lock the answer stays true.
    pub(crate) fn lost(&self, place: &Place) -> Result<Option<LostCause>> {
        if self.is_forked() {
            return Ok(Some(LostCause::Forked));
        }
        if filesystem::is_served(place.dir()) {
            // The names that a client of a server knows may be old.
            place.ask_server();
            return self.lost_at_server(place);
        }
        if !place.is_only_lock(&self.file) {
            match place.compare_lock(&self.file)? {
                Found::Nothing => return Ok(Some(LostCause::Removed)),
                Found::Other => return Ok(Some(LostCause::Replaced)),
                Found::This(_) => {}
            }
            if !place.is_where_it_was()? {
                return Ok(Some(LostCause::Moved));
            }
        }
        let mine = record::is_still(self.file(), &self.record).context("read", place.lock())?;
        Ok((!mine).then_some(LostCause::TakenOver))
    }

    pub(super) fn file(&self) -> &File {
        self.file.file()
    }

    /// The file, which is open as long as this is.
    pub(crate) fn pinned(&self) -> &Arc<Pinned> {
        &self.file
    }

    /// Whether this process is a fork of the one that acquired the lock.
    pub(crate) fn is_forked(&self) -> bool {
        // Once it has let go, the process need not be asked for.
        self.pid == NOBODY || self.pid != std::process::id()
    }

    /// The owner it was taken over from, if that one used this protocol.
    pub(crate) fn predecessor(&self) -> Option<Uuid> {
        self.predecessor
    }

    /// Whether a waiter of another process has marked the file.
    pub(crate) fn somebody_waits(&self, place: &Place, rules: &Rules) -> bool {
        // Without marks a holder always assumes so: it leaves the file, and the keeper looks later.
        !rules.marks(place.dir()) || marks::somebody_waits(self.file())
    }

    /// Spoils the record of this lock file, which is still ours and is removed next. From now on
    /// nobody can name its owner in a revoke (I14).
    pub(crate) fn disown(&self) -> io::Result<()> {
        record::spoil(self.file())
    }

    /// Removes the lock file and lets go. The caller has found it not [`lost`](Self::lost) in the
    /// same section (I14).
    ///
    /// A file that cannot be removed stays, and is taken over.
    pub(crate) fn unlink(mut self, place: &Place, section: &Section) {
        if self.remove(place, section).is_ok() {
            flock::unlock(self.file());
            // Nobody looks for marks on a file without a name.
            self.pid = NOBODY;
        }
    }

    fn remove(&self, place: &Place, section: &Section) -> Result<()> {
        debug_assert!(section.is_of(place));
        place.remove_lock()
    }

    /// Lets go without removing the file. What this returns can remove it later, or resume there.
    ///
    /// `session` is the turn's session file. If the turn created it and nobody ever writes into it,
    /// it goes with the lock file.
    pub(crate) fn unlock(self, session: Option<SessionFile>) -> Lingering {
        self.release();
        Lingering::released(self, session)
    }

    /// [`unlock`](Self::unlock), and then the data lock.
    pub(crate) fn unlock_before(self, section: Section) -> Lingering {
        self.release();
        Lingering::released(self, section.unlock())
    }

    /// Keeps the lock for this process until `end`, when the keeper lets it go.
    pub(crate) fn keep_until(self, end: Instant, session: Option<SessionFile>) -> Lingering {
        debug_assert!(!self.lent, "whoever has the descriptor has the lock");
        Lingering::kept(self, session, end)
    }

    fn release(&self) {
        if !self.is_forked() {
            if self.is_marked {
                marks::end_hold(self.file());
            }
            flock::unlock(self.file());
        }
    }

    /// The descriptor, for a child that is to inherit the lock.
    pub(crate) fn lend(&mut self) -> BorrowedFd<'_> {
        self.lent = true;
        self.file.file().as_fd()
    }

    /// Whether another process may have the descriptor. Such a lock is for this turn only: the next
    /// turn takes another.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.release();
    }
}
