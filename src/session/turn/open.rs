//! What a turn has while it is open.

use super::seen::Seen;
use crate::datafile::{Locking, SOON, Section, SessionFile};
use crate::error::{Error, LostCause, Result};
use crate::lock::Lock;
use crate::place::Place;
use crate::rules::Rules;
use crate::session::run::Run;
use crate::sys::FileId;

/// The lock and the session file of a turn that was not closed yet.
pub(super) struct OpenTurn {
    pub(super) lock: Lock,
    /// The session file, unless it is in use by a section or was lost.
    pub(super) session: Option<SessionFile>,
    pub(super) seen: Seen,
    /// Why the first failed sync failed.
    pub(super) sync_failed: Option<Box<str>>,
    pub(super) run: Run,
}

impl OpenTurn {
    /// The turn that begins in this section. The data lock is let go.
    pub(super) fn new(lock: Lock, section: Section, run: Run) -> Self {
        let seen = Seen::of(&section);
        Self { lock, session: section.unlock(), seen, sync_failed: None, run }
    }

    /// The section that was granted. If none was, tries the data lock through the turn's own
    /// descriptor: `None` if another process has it.
    pub(super) fn enter_section(
        &mut self,
        granted: Option<Section>,
        place: &Place,
        rules: &Rules,
    ) -> Result<Option<Section>> {
        let mut section = self.granted_or_tried(granted, place)?;
        if let Some(section) = &mut section
            && !self.seen.is_of(section.id())
        {
            // Another program has removed or replaced the session file.
            if !matches!(self.lock.lost(place), Ok(None)) {
                // A turn that was lost creates no session file.
                section.discard_unused(false, || Ok(()));
            }
            self.seen.start_over(section.id());
        }
        if let Some(section) = &mut section
            && !section.claim(rules)
        {
            // Its second name was made during this turn, and a turn has begun under that.
            let (lock, cause) = (place.lock().to_owned(), LostCause::OtherName);
            return Err(Error::LockLost { lock, cause });
        }
        Ok(section)
    }

    fn granted_or_tried(
        &mut self,
        granted: Option<Section>,
        place: &Place,
    ) -> Result<Option<Section>> {
        self.refuse_in_fork(place)?;
        if granted.is_some() {
            return Ok(granted);
        }
        let session = match self.take_session(place, true) {
            Err(error) if error.is_lease() => return Ok(None),
            session => session?,
        };
        match session.try_lock(place, true)? {
            Locking::Locked(section) => Ok(Some(section)),
            Locking::Busy(session) => {
                self.session = Some(session);
                Ok(None)
            }
            Locking::Missing => Err(missing(place)),
        }
    }

    /// A fork shares the descriptor with its parent, who may be in a section just now. If the fork
    /// let go of the data lock, that section would end.
    fn refuse_in_fork(&self, place: &Place) -> Result<()> {
        if self.lock.is_forked() {
            let (lock, cause) = (place.lock().to_owned(), LostCause::Forked);
            return Err(Error::LockLost { lock, cause });
        }
        Ok(())
    }

    /// Takes the session file out, or opens it anew.
    pub(super) fn take_session(&mut self, place: &Place, create: bool) -> Result<SessionFile> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => SessionFile::open(place, create)?.ok_or_else(|| missing(place)),
        }
    }

    /// Which file the session is, and how long, while nobody of this protocol writes to it. What is
    /// being written may yet be taken back (I9). `None` if another process stays inside an append.
    pub(super) fn settled(&mut self, place: &Place) -> Result<Option<(Option<FileId>, u64)>> {
        self.refuse_in_fork(place)?;
        let session = match self.take_session(place, false) {
            Err(error) if error.is_lease() => return Ok(None),
            session => session?,
        };
        match session.lock_within(SOON, place, false)? {
            Ok(section) => {
                let settled = (section.id(), section.len());
                self.session = section.unlock();
                Ok(Some(settled))
            }
            Err(busy) => {
                self.session = Some(busy);
                Ok(None)
            }
        }
    }

    /// Whether this turn created the session file, and nothing was written into it so far.
    pub(super) fn made_session(&self) -> bool {
        self.seen.end() == 0 && self.session.as_ref().is_some_and(SessionFile::is_made_by_us)
    }
}

fn missing(place: &Place) -> Error {
    Error::NoSession { path: place.session().to_owned() }
}
