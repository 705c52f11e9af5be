//! The section: the time in which the data lock is held, and the proof that it is (I2).

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::file::{Locking, SessionFile, missing};
use super::{Ending, claim, made, origin};
use crate::error::{Context, Error, Result};
use crate::faults::{self, Step};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::flock::BlockedBy;
use crate::sys::{self, Pinned, Stat, flock};

/// The longest that an operation that must not wait will try for the data lock.
pub(crate) const SOON: Duration = Duration::from_millis(5);

/// The data lock, held on the file that the session's path names. Dropping it lets go.
#[derive(Debug)]
pub(crate) struct Section {
    session: Option<SessionFile>,
    /// The file's length, as it was last measured.
    len: u64,
    /// How the file ends there, if that was looked at.
    ending: Option<Ending>,
    /// Its permission bits, as they were when it was locked.
    mode: Option<u32>,
    /// Whether it had several names then.
    has_links: bool,
    place: Place,
}

impl Section {
    pub(super) fn new(mut session: SessionFile, stat: &Stat, place: &Place) -> Self {
        if stat.len == 0 && !session.is_made_by_us() && made::recall(place, &session) {
            session.is_made_for_its_lock();
        }
        Self {
            session: Some(session),
            len: stat.len,
            ending: None,
            mode: stat.mode,
            has_links: stat.links > 1,
            place: place.clone(),
        }
    }

    /// Opens the session file and takes its data lock if it is free within `limit`, a few
    /// milliseconds. With `create` a missing session file is created. `None` if it is busy.
    pub(crate) fn lock_within(
        limit: Duration,
        place: &Place,
        create: bool,
    ) -> Result<Option<Self>> {
        match SessionFile::open(place, create) {
            Ok(Some(session)) => Ok(session.lock_within(limit, place, create)?.ok()),
            Ok(None) => Err(missing(place)),
            Err(error) if error.is_lease() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates the session file if it is missing, and takes its data lock if that is free.
    pub(crate) fn try_lock(place: &Place) -> Result<Option<Self>> {
        let session = match SessionFile::open(place, true) {
            Err(error) if error.is_lease() => return Ok(None),
            opened => opened?,
        };
        match session.map(|session| session.try_lock(place, true)).transpose()? {
            Some(Locking::Locked(section)) => Ok(Some(section)),
            _ => Ok(None),
        }
    }

    /// The file's length, as it was last measured.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Lets those use a new lock file of this session who may use the session.
    pub(crate) fn share(&self, lock: &File) -> io::Result<()> {
        sys::share(lock, self.file(), self.mode)
    }

    /// The file ends at `len`.
    pub(super) fn measured(&mut self, len: u64) {
        (self.len, self.ending) = (len, None);
    }

    /// Measures the file again, and looks how it ends.
    pub(crate) fn look_again(&mut self) -> Result<()> {
        let look = Ending::look(self.file(), self.len).context("look at", self.place.session())?;
        self.ends_like(look.0, look.1);
        Ok(())
    }

    /// The file ends at `len`, in this way. The next append need not look whether it is torn.
    fn ends_like(&mut self, len: u64, ending: Ending) {
        (self.len, self.ending) = (len, Some(ending));
        if ending.is_whole()
            && let Some(session) = &mut self.session
        {
            session.is_sealed_to(len);
        }
    }

    /// How the file ends. `known` says it if this was not looked at here.
    pub(super) fn ending(&mut self, known: Option<Ending>) -> io::Result<Ending> {
        let ending = match self.ending.or(known) {
            Some(ending) => ending,
            None => Ending::read(self.file(), self.len)?,
        };
        self.ends_like(self.len, ending);
        Ok(ending)
    }

    /// The session file, which is open as long as the section lasts.
    pub(crate) fn pinned(&self) -> &Arc<Pinned> {
        self.session().pinned()
    }

    /// Whether it is the section of this session: only then is it proof of exclusion there (I2).
    pub(crate) fn is_of(&self, place: &Place) -> bool {
        self.place == *place
    }

    /// Claims the session file for a turn, if it has several names (I17). `false` if it is held
    /// under another one.
    pub(crate) fn claim(&mut self, rules: &Rules) -> bool {
        if !self.can_be_claimed(rules) {
            return true;
        }
        match &mut self.session {
            Some(session) => session.claim(&self.place),
            None => true,
        }
    }

    /// Whether a turn under another name of the session file has claimed it.
    pub(crate) fn is_claimed_elsewhere(&self, rules: &Rules) -> bool {
        self.can_be_claimed(rules) && claim::is_claimed_elsewhere(self.file(), &self.place)
    }

    fn can_be_claimed(&self, rules: &Rules) -> bool {
        self.has_links && rules.marks(self.place.dir())
    }

    /// The session that it is a section of.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether this process created the file for its data lock, and nobody has written into it.
    pub(crate) fn is_unused_of_ours(&self) -> bool {
        self.len == 0 && self.session().is_made_by_us()
    }

    /// The trace of a file that exists for its data lock only, for the next holder, who removes it
    /// if nobody writes into it either.
    pub(crate) fn unused_trace(&self) -> Option<String> {
        if !self.is_unused_of_ours() {
            return None;
        }
        self.pinned().trace().map(|trace| trace.to_string())
    }

    /// The last holder noted this trace: it created the file for its data lock. Unless somebody has
    /// written into it since, it counts as created by this process.
    pub(crate) fn adopt_unused(&mut self, trace: &str) {
        let is_same = |pinned: &Pinned| pinned.trace().is_some_and(|it| it.to_string() == trace);
        if self.len == 0
            && let Some(session) = &mut self.session
            && is_same(session.pinned())
        {
            session.is_made_for_its_lock();
        }
    }

    /// Removes the session file if nobody has written into it and this process created it for its
    /// data lock: with this descriptor, or, as `made` says, with an earlier one.
    ///
    /// Called while the turn lock is held, before the lock file is removed: a foreign program that
    /// takes over must not open a file that is about to go (I14). Or called at once, if the turn
    /// lock could not even be tried.
    ///
    /// `disown` spoils the record of a lock file that is removed next. The data lock goes with the
    /// session file. A revoke that named the owner just then would let somebody in, whose lock file
    /// would then be removed instead of this one (I14).
    pub(crate) fn discard_unused(&mut self, made: bool, disown: impl FnOnce() -> io::Result<()>) {
        let Some(session) = self.session.as_mut().filter(|it| it.is_made_by_us() || made) else {
            return;
        };
        let is_empty = sys::stat(session.file()).is_ok_and(|stat| stat.len == 0);
        if is_empty
            && matches!(self.place.compare_session(session.pinned()), Ok(found) if found.is_this())
            && disown().is_ok()
        {
            session.forget_who_made_it();
            // If this fails, an empty session stays, which does no harm.
            let _ = self.place.dir().remove(self.place.session_name());
        }
    }

    /// Removes the file, or gives it another name, and tells followers of that.
    pub(crate) fn end_with<T>(&self, end: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        // Followers look for the note as soon as the name is gone.
        origin::tell_end(self.file(), self.place.session_name());
        end().inspect_err(|_| origin::take_back_end(self.file()))
    }

    /// The session file.
    pub(crate) fn file(&self) -> &File {
        self.session().file()
    }

    pub(super) fn session(&self) -> &SessionFile {
        // The session is taken out only by `unlock`, which consumes the section.
        match &self.session {
            Some(session) => session,
            None => unreachable!("a section has its file until it is unlocked"),
        }
    }

    /// Makes what was written survive the loss of power.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        faults::at(Step::Sync, self.place.session())?;
        match &mut self.session {
            Some(session) => session.sync(&self.place),
            None => unreachable!("a section has its file until it is unlocked"),
        }
    }

    /// Notes that the file was written to and ends with a newline at `end`.
    pub(super) fn ends_at(&mut self, end: u64) {
        self.measured(end);
        if let Some(session) = &mut self.session {
            session.is_sealed_to(end);
            if end > 0 {
                session.forget_who_made_it();
            }
        }
    }

    /// Lets go of the lock and keeps the file open.
    pub(crate) fn unlock(mut self) -> Option<SessionFile> {
        let session = self.session.take();
        if let Some(session) = &session {
            session.unlock();
        }
        session
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        let is_empty = self.len == 0;
        if let Some(session) = self.session.take() {
            if is_empty {
                made::remember(&self.place, &session);
            }
            session.unlock();
        }
    }
}

/// Whether a turn under another name of the session file has claimed it. For messages.
pub(crate) fn is_claimed_elsewhere(place: &Place, rules: &Rules) -> bool {
    match place.stat_session() {
        Ok(Some(stat)) if stat.links > 1 && rules.marks(place.dir()) => {
            matches!(SessionFile::open(place, false), Ok(Some(session))
                if claim::is_claimed_elsewhere(session.file(), place))
        }
        _ => false,
    }
}

/// The data lock of this session could not be taken within `waited`: who keeps it, and how, as far
/// as the system tells.
pub(crate) fn busy(place: &Place, waited: Duration) -> Error {
    let blocker = place.stat_session().ok().flatten().and_then(|stat| flock::blocker_of(&stat));
    Error::DataLockBusy {
        session: place.session().to_owned(),
        pid: blocker.map(|blocker| blocker.pid),
        how: match blocker.map(|blocker| blocker.by) {
            None | Some(BlockedBy::Lock) => "is inside an append to",
            Some(BlockedBy::SharedLock) => "keeps a shared lock (`flock -s`) on",
            Some(BlockedBy::Lease) => "keeps a lease on",
        },
        waited,
    }
}
