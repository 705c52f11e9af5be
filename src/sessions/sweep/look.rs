//! One lock in a directory: looked at, and removed if it is stale.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LockReport;
use crate::datafile::{SOON, Section};
use crate::error::{Context, Result};
use crate::lock::{self, Known, LockState, Look, Swept};
use crate::place::{Place, open_shared};
use crate::rules::Rules;
use crate::session;
use crate::sys::{Dir, filesystem, strip_suffix};

/// A directory whose locks are looked at: as it was named, and open.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) named: Arc<Path>,
    pub(crate) open: Arc<Dir>,
}

impl Directory {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let open = open_shared(dir).context("find the directory", dir)?;
        filesystem::ask_mount(open.path(), open.id().device());
        Ok(Self { named: Arc::from(dir), open })
    }

    /// Where it is, links resolved.
    pub(crate) fn real(&self) -> &Path {
        self.open.path()
    }

    /// The names in it, in no order.
    pub(crate) fn names(&self) -> Result<impl Iterator<Item = Result<OsString>>> {
        let failed = || ("read the directory", &*self.named);
        let names = self.open.names().context(failed().0, failed().1)?;
        Ok(names.map(move |name| name.context(failed().0, failed().1)))
    }

    /// The names of its lock files, in their order.
    pub(crate) fn locks(&self) -> Result<Vec<OsString>> {
        let is_lock = |name: &Result<OsString>| name.as_ref().map_or(true, |name| is_lock(name));
        let mut locks = self.names()?.filter(is_lock).collect::<Result<Vec<_>>>()?;
        locks.sort_unstable();
        Ok(locks)
    }
}

/// Whether a file of this name is a lock file.
pub(crate) fn is_lock(name: &OsStr) -> bool {
    strip_suffix(name, ".jsonl.lock").is_some_and(|session| !session.is_empty())
}

/// The name of the session that a lock file of this name is for; a session's own name stays.
pub(crate) fn session_name(name: &OsStr) -> OsString {
    let session = if is_lock(name) { strip_suffix(name, ".lock") } else { None };
    session.unwrap_or(name).to_owned()
}

/// Looks and removes by one set of rules, and looks up each owner process once.
#[derive(Clone)]
pub(crate) struct Looker {
    pub(crate) rules: Arc<Rules>,
    known: Arc<Known>,
}

impl Looker {
    pub(crate) fn new(rules: &Arc<Rules>) -> Self {
        Self { rules: Arc::clone(rules), known: Arc::default() }
    }

    /// Looks at a lock; `None` if there is none.
    pub(crate) fn look(&self, dir: &Directory, name: &OsStr) -> Option<LockReport> {
        let place = Place::of_lock_in(&dir.open, name);
        let named = dir.named.join(name);
        let own = session::owner_here(&place);
        let by = Look { rules: &self.rules, known: &self.known, own };
        match lock::look(&place, &named, &by) {
            Ok(seen) => seen.map(|seen| LockReport::seen(named, seen)),
            Err(error) => Some(LockReport::unreadable(named, &error)),
        }
    }

    /// Looks at a lock, and removes it if it is stale, by a judgement made anew under its `flock`;
    /// `None` if there is none any more.
    pub(crate) fn sweep(&self, dir: &Directory, name: &OsStr) -> Option<LockReport> {
        let found = self.look(dir, name)?;
        let place = Place::of_lock_in(&dir.open, name);
        if found.state != LockState::Stale
            && !(found.state == LockState::Held && self.is_without_marks(&place))
        {
            return Some(found);
        }
        match self.remove(&place) {
            Ok(Swept::Removed(reasons)) => {
                Some(LockReport { state: LockState::Stale, removed: true, reasons, ..found })
            }
            // Somebody was faster.
            Ok(Swept::Gone) => None,
            Ok(Swept::Kept) => self.look(dir, name),
            Err(_) if found.state == LockState::Held => Some(found),
            Err(error) => Some(LockReport { error: Some(error.to_string()), ..found }),
        }
    }

    /// Where there are no marks, only its `flock` could tell whether a lock is held: whoever
    /// removes may try that.
    fn is_without_marks(&self, place: &Place) -> bool {
        matches!(place.stat_lock(), Ok(Some(stat)) if !self.rules.marks(stat.id.device()))
            && session::owner_here(place).is_none()
    }

    fn remove(&self, place: &Place) -> Result<Swept> {
        match Section::lock_within(SOON, place, true)? {
            Some(mut section) => lock::remove_stale(place, &mut section, &self.rules),
            None => Err(super::data_lock_busy(place)),
        }
    }
}

/// The path of a lock file, taken apart.
pub(crate) fn split(lock: &Path) -> Option<(PathBuf, &OsStr)> {
    let dir = match lock.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    lock.file_name().map(|name| (dir, name))
}
