//! A lock file that was let go with its record left in it: the next holder takes it over, this process goes on from it, or the keeper
//! removes it.

use std::time::{Duration, Instant};

use super::{LockFile, NOBODY, Want, record};
use crate::datafile::{Locking, Section, SessionFile};
use crate::error::{Context, Result};
use crate::place::Place;
use crate::sys::flock;

/// What a release left on disk, with the descriptors that it had.
pub(crate) struct Lingering {
    /// Not held any more, unless it is kept.
    lock: LockFile,
    session: Option<SessionFile>,
    /// The turn made the session file, which goes too if nobody ever wrote into it.
    made_session: bool,
    /// The process that left it.
    pid: u32,
    since: Instant,
    /// Until when the lock is kept for this process.
    kept_until: Option<Instant>,
}

impl Lingering {
    pub(super) fn of(mut lock: LockFile, session: Option<SessionFile>) -> Self {
        let pid = lock.pid;
        // From now on dropping it does nothing.
        lock.pid = NOBODY;
        Self::new(lock, session, pid, None)
    }

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
        let made_session = session.as_ref().is_some_and(SessionFile::is_made_by_us);
        let session = session.map(SessionFile::for_a_later_turn);
        Self { lock, session, made_session, pid, since: Instant::now(), kept_until }
    }

    /// Whether this process is a fork of the one that left it: it shares the descriptors, and so the locks (I14).
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
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

    /// Whether its record was written after the other's. If it was, the other's is not there any more, whichever was let go, or told of, last.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        self.lock.number > other.lock.number
    }

    /// For how long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Takes the lock once more for another turn of this process, if nobody had it since: under the data lock, in place (I2, I6).
    /// Whatever is in the way is left to those who look more closely.
    pub(crate) fn take_again(&mut self, place: &Place, want: &Want) -> Option<Section> {
        if self.lock.lent || self.is_forked() {
            return None;
        }
        let data = self.data_lock(place).ok()??;
        if self.kept_until.is_some() || matches!(flock::try_lock(&self.lock.file), Ok(true)) {
            if self.begin(place, &data, want) {
                return Some(data);
            }
            flock::unlock(&self.lock.file);
        }
        self.session = data.unlock();
        None
    }

    /// The data lock, if it is free: through the descriptor that the turn had, if there is one.
    fn data_lock(&mut self, place: &Place) -> Result<Option<Section>> {
        let Some(session) = self.session.take() else { return Section::try_lock(place) };
        match session.try_lock(place, false)? {
            Locking::Locked(data) => Ok(Some(data)),
            Locking::Busy(session) => {
                self.session = Some(session);
                Ok(None)
            }
            Locking::Missing => Ok(None),
        }
    }

    /// With the lock: compares (I3), and takes over.
    fn begin(&mut self, place: &Place, data: &Section, want: &Want) -> bool {
        let predecessor = self.lock.owner;
        let begun =
            matches!(self.is_untouched(place), Ok(true)) && self.lock.hand_over(data, want).is_ok();
        if begun {
            self.lock.predecessor = Some(predecessor);
            if self.kept_until.is_none() {
                self.lock.pid = self.pid;
                self.lock.mark(want);
            }
        }
        begun
    }

    /// The lock, which was taken again.
    pub(crate) fn into_lock(self) -> LockFile {
        self.lock
    }

    /// Removes the file if nobody has taken it meanwhile; `false` when that has to be tried again later.
    ///
    /// The data lock comes first: else one who tries for the turn just then would meet this look, and take it for a holder.
    pub(crate) fn tidy(&mut self, place: &Place) -> Result<bool> {
        if !self.is_untouched(place)? {
            return Ok(true);
        }
        let Some(mut data) = self.data_lock(place)? else { return Ok(false) };
        let tidied = self.tidy_under(place, &mut data);
        self.session = data.unlock();
        tidied
    }

    fn tidy_under(&self, place: &Place, data: &mut Section) -> Result<bool> {
        let file = &self.lock.file;
        if !flock::try_lock(file).context("lock", place.lock())? {
            // Who has it will write a record of its own, or give it up without one: that is not known yet (I12).
            return Ok(false);
        }
        let removed = self.is_untouched(place).and_then(|mine| {
            if mine {
                data.discard_unused(self.made_session, || self.lock.disown());
                self.lock.remove(place, data)?;
            }
            Ok(true)
        });
        flock::unlock(file);
        removed
    }

    /// Whether the path still names this file, with the record that was left in it.
    fn is_untouched(&self, place: &Place) -> Result<bool> {
        let LockFile { file, id, record, .. } = &self.lock;
        Ok(place.lock_id()? == Some(*id)
            && record::is_still(file, record).context("read", place.lock())?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::datafile::SOON;
    use crate::lock::{Try, try_take};

    #[test]
    fn a_fork_does_not_go_on_where_its_parent_ended() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        let data = Section::lock_within(SOON, &place, true).unwrap().unwrap();
        let want = Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::default() };
        let Ok(Try::Held(lock)) = try_take(&place, &data, &want) else { panic!() };
        let mut leftover = lock.unlock_before(data);
        leftover.pid += 1;
        assert!(leftover.take_again(&place, &want).is_none());
        leftover.pid -= 1;
        assert!(leftover.take_again(&place, &want).is_some());
    }
}
