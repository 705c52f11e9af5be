//! What a turn has while it is open.

use std::sync::Arc;

use super::seen::Seen;
use crate::datafile::{Locking, SOON, Section, SessionFile};
use crate::error::{Context, Error, LostCause, Result, SessionChange};
use crate::lock::Lock;
use crate::place::Place;
use crate::rules::Rules;
use crate::session::run::Run;
use crate::sys::Pinned;

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

/// What an open turn finds when it enters a section.
pub(super) enum Entered {
    Section(Section),
    /// Another process has the data lock.
    Busy,
    /// What the holder had seen of the session is not there any more.
    Changed(SessionChange),
}

impl OpenTurn {
    /// The turn that begins in this section. The data lock is let go. `before` is what the last
    /// turn of this process has seen, if this one follows it directly.
    pub(super) fn new(lock: Lock, mut section: Section, run: Run, before: Option<&Seen>) -> Self {
        let seen = Seen::of(&mut section, before);
        Self { lock, session: section.unlock(), seen, sync_failed: None, run }
    }

    /// Takes the section that was granted. If none was, tries the data lock through the turn's own
    /// descriptor. Compares the file with what was seen of it: the bytes too if it has grown, or
    /// `thoroughly` in any case.
    pub(super) fn enter_section(
        &mut self,
        granted: Option<Section>,
        place: &Place,
        thoroughly: bool,
        rules: &Rules,
    ) -> Result<Entered> {
        let mut section = match self.granted_or_tried(granted, place)? {
            Entered::Section(section) => section,
            other => return Ok(other),
        };
        let change = self.seen.change(&section, thoroughly).context("read", place.session())?;
        if let Some(change) = change {
            // The section may have found no file, and may have created one.
            let is_gone = section.is_unused_of_ours();
            section.discard_unused(false, || Ok(()));
            let change = if is_gone { SessionChange::Removed } else { change };
            return Ok(Entered::Changed(change));
        }
        if !self.seen.is_of(section.pinned()) {
            // Another program has removed or replaced a file of which nothing was seen.
            if !matches!(self.lock.lost(place), Ok(None)) {
                // A turn that was lost creates no session file.
                section.discard_unused(false, || Ok(()));
            }
            self.seen.start_over(section.pinned());
        }
        if !section.claim(rules) {
            // Its second name was made during this turn, and a turn has begun under that.
            let (lock, cause) = (place.lock().to_owned(), LostCause::OtherName);
            return Err(Error::LockLost { lock, cause });
        }
        Ok(Entered::Section(section))
    }

    fn granted_or_tried(&mut self, granted: Option<Section>, place: &Place) -> Result<Entered> {
        self.refuse_in_fork(place)?;
        if let Some(section) = granted {
            return Ok(Entered::Section(section));
        }
        // A session of which something was seen is not made anew.
        let create = self.seen.is_nothing();
        let session = match self.take_session(place, create) {
            Ok(Some(session)) => session,
            Ok(None) => return Ok(Entered::Changed(SessionChange::Removed)),
            Err(error) if error.is_lease() => return Ok(Entered::Busy),
            Err(error) => return Err(error),
        };
        match session.try_lock(place, create)? {
            Locking::Locked(section) => Ok(Entered::Section(section)),
            Locking::Busy(session) => {
                self.session = Some(session);
                Ok(Entered::Busy)
            }
            Locking::Missing => Ok(Entered::Changed(SessionChange::Removed)),
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
    pub(super) fn take_session(
        &mut self,
        place: &Place,
        create: bool,
    ) -> Result<Option<SessionFile>> {
        match self.session.take() {
            Some(session) => Ok(Some(session)),
            None => SessionFile::open(place, create),
        }
    }

    /// Which file the session is, and how long, while nobody of this protocol writes to it. What is
    /// being written may yet be taken back (I9). `None` if another process stays inside an append.
    pub(super) fn settled(&mut self, place: &Place) -> Result<Option<(Arc<Pinned>, u64)>> {
        self.refuse_in_fork(place)?;
        let session = match self.take_session(place, false) {
            Err(error) if error.is_lease() => return Ok(None),
            session => session?.ok_or_else(|| missing(place))?,
        };
        match session.lock_within(SOON, place, false)? {
            Ok(section) => {
                let settled = (Arc::clone(section.pinned()), section.len());
                self.session = section.unlock().map(SessionFile::for_later);
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
        self.seen.is_nothing() && self.session.as_ref().is_some_and(SessionFile::is_made_by_us)
    }
}

fn missing(place: &Place) -> Error {
    Error::NoSession { path: place.session().to_owned() }
}
