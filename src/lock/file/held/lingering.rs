//! A lock file that was let go with its record left in it. The next holder takes it over, or this
//! process resumes there, or the keeper removes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LockFile, NOBODY, Want, record};
use crate::datafile::{Locking, Section, SessionFile};
use crate::error::{Context, Result};
use crate::place::Place;
use crate::sys::{Pinned, flock};

/// What a release left on disk, with the descriptors that it had.
pub(crate) struct Lingering {
    /// Not held any more, unless it is kept.
    lock: LockFile,
    session: Option<SessionFile>,
    /// Whether the turn created the session file, which goes too if nobody ever wrote into it.
    made_session: bool,
    /// The process that left it.
    pid: u32,
    since: Instant,
    /// Until when the lock is kept for this process (I8).
    kept_until: Option<Instant>,
}

impl Lingering {
    /// One whose lock has been released.
    pub(super) fn released(mut lock: LockFile, session: Option<SessionFile>) -> Self {
        let pid = lock.pid;
        // From now on dropping it does nothing.
        lock.pid = NOBODY;
        Self::new(lock, session, pid, None)
    }

    /// One whose lock is kept until `end`.
    pub(super) fn kept(lock: LockFile, session: Option<SessionFile>, end: Instant) -> Self {
        let pid = lock.pid;
        Self::new(lock, session, pid, Some(end))
    }

    fn new(
        lock: LockFile,
        session: Option<SessionFile>,
        pid: u32,
        kept_until: Option<Instant>,
    ) -> Self {
        debug_assert_ne!(pid, NOBODY, "a lock is let go once");
        let made_session = session.as_ref().is_some_and(SessionFile::is_made_by_us);
        let session = session.map(SessionFile::for_later);
        Self { lock, session, made_session, pid, since: Instant::now(), kept_until }
    }

    /// Whether this process is a fork of the one that left it. A fork shares the descriptors, and
    /// so the locks (I14).
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    /// The lock file, which is open as long as this is.
    pub(crate) fn pinned(&self) -> &Arc<Pinned> {
        self.lock.pinned()
    }

    /// Until when the lock is kept for this process, if it is.
    pub(crate) fn kept_until(&self) -> Option<Instant> {
        self.kept_until
    }

    /// Lets go of a lock that was kept.
    pub(crate) fn let_go(&mut self) {
        if self.kept_until.take().is_some() {
            self.lock.release();
            self.lock.pid = NOBODY;
            self.since = Instant::now();
        }
    }

    /// Whether its record was written after the other's. If so, the other's no longer exists,
    /// whichever of the two was let go, or reported to the keeper, last.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        self.lock.number > other.lock.number
    }

    /// How long ago it was let go.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Takes the lock once more for another turn of this process if nobody has had it since: under
    /// the data lock, in place (I2, I6). `None` if anything is in the way; the ordinary acquire
    /// finds out what.
    pub(crate) fn take_again(&mut self, place: &Place, want: &Want) -> Option<Section> {
        if self.lock.lent || self.is_forked() {
            return None;
        }
        let mut section = self.try_section(place).ok()??;
        if self.kept_until.is_some() || matches!(flock::try_lock(self.lock.file()), Ok(true)) {
            if section.claim(&want.rules) && self.begin(place, &section, want) {
                return Some(section);
            }
            flock::unlock(self.lock.file());
        }
        self.session = section.unlock().map(SessionFile::for_a_later_turn);
        None
    }

    /// Takes the data lock if it is free, through the descriptor that the turn had, if it had one.
    fn try_section(&mut self, place: &Place) -> Result<Option<Section>> {
        let Some(session) = self.session.take() else { return Section::try_lock(place) };
        match session.try_lock(place, false)? {
            Locking::Locked(section) => Ok(Some(section)),
            Locking::Busy(session) => {
                self.session = Some(session);
                Ok(None)
            }
            Locking::Missing => Ok(None),
        }
    }

    /// With the lock: compares (I3), and takes over.
    fn begin(&mut self, place: &Place, section: &Section, want: &Want) -> bool {
        debug_assert!(section.is_of(place));
        let predecessor = self.lock.owner;
        // The server was asked about the directory when the section began.
        let begun = matches!(self.is_untouched_as_known(place), Ok(true))
            && self.lock.hand_over(section, want).is_ok();
        if begun {
            self.lock.predecessor = Some(predecessor);
            if self.kept_until.is_none() {
                self.lock.pid = self.pid;
                self.lock.mark(place, want);
            }
        }
        begun
    }

    /// The lock, which was taken again.
    pub(crate) fn into_lock(self) -> LockFile {
        debug_assert!(!self.lock.is_forked(), "it was taken again, in this process");
        self.lock
    }

    /// Removes the file if nobody has taken it meanwhile. `false`: try again later.
    ///
    /// Takes the data lock first. Otherwise an acquirer could meet this look at the turn lock, and
    /// mistake it for a holder.
    pub(crate) fn tidy(&mut self, place: &Place) -> Result<bool> {
        if !self.is_untouched(place)? {
            return Ok(true);
        }
        let Some(mut section) = self.try_section(place)? else { return Ok(false) };
        let tidied = self.tidy_under(place, &mut section);
        self.session = section.unlock();
        tidied
    }

    fn tidy_under(&self, place: &Place, section: &mut Section) -> Result<bool> {
        let file = self.lock.file();
        if !flock::try_lock(file).context("lock", place.lock())? {
            // Whoever has it writes a record of its own, or gives it up without one. Which of the
            // two is not known yet (I12).
            return Ok(false);
        }
        let removed = self.remove_untouched(place, section);
        flock::unlock(file);
        removed.map(|()| true)
    }

    fn remove_untouched(&self, place: &Place, section: &mut Section) -> Result<()> {
        if self.is_untouched(place)? {
            section.discard_unused(self.made_session, || self.lock.disown());
            self.lock.remove(place, section)?;
        }
        Ok(())
    }

    /// Whether the path still names this file, with the record that was left in it.
    fn is_untouched(&self, place: &Place) -> Result<bool> {
        place.ask_server();
        self.is_untouched_as_known(place)
    }

    /// The same, by the names that this host knows.
    fn is_untouched_as_known(&self, place: &Place) -> Result<bool> {
        let LockFile { file, record, .. } = &self.lock;
        Ok(place.compare_lock_as_known(file)?.is_this()
            && record::is_still(file.file(), record).context("read", place.lock())?)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::datafile::SOON;
    use crate::lock::{Try, try_take};

    #[test]
    fn a_fork_does_not_resume_where_its_parent_ended() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        let mut section = Section::lock_within(SOON, &place, true).unwrap().unwrap();
        let want = Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::default() };
        let Ok(Try::Held(lock)) = try_take(&place, &mut section, &want) else { panic!() };
        let mut lingering = lock.unlock_before(section);
        lingering.pid += 1;
        assert!(lingering.take_again(&place, &want).is_none());
        lingering.pid -= 1;
        assert!(lingering.take_again(&place, &want).is_some());
    }
}
