//! Looks at one lock in a directory, and removes it if it is stale.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LockReport;
use super::pool::Entry;
use crate::datafile::{SOON, Section};
use crate::error::{Context, Result};
use crate::lock::{self, Known, LockState, Look, Swept};
use crate::place::{Place, open_shared};
use crate::rules::Rules;
use crate::session;
use crate::sys::{Dir, filesystem, strip_suffix};

/// An open directory, with the path by which the caller named it.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) named: Arc<Path>,
    pub(crate) open: Arc<Dir>,
}

impl Directory {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let open = open_shared(dir).context("find the directory", dir)?;
        filesystem::ask_mount(&open);
        Ok(Self { named: Arc::from(dir), open })
    }

    /// Its path, with links resolved.
    pub(crate) fn real(&self) -> &Path {
        self.open.path()
    }

    /// The names of its entries, in no particular order.
    pub(crate) fn names(&self) -> Result<impl Iterator<Item = Result<OsString>>> {
        const ACTION: &str = "read the directory";
        let names = self.open.names().context(ACTION, &self.named)?;
        Ok(names.map(|name| name.context(ACTION, &self.named)))
    }

    /// The names of its lock files, sorted. Calls `progress` for each name in the directory.
    pub(crate) fn lock_names(&self, progress: impl Fn()) -> Result<Vec<OsString>> {
        let is_lock = |name: &Result<OsString>| name.as_ref().map_or(true, |name| is_lock(name));
        let names = self.names()?.inspect(|_| progress());
        let mut locks = names.filter(is_lock).collect::<Result<Vec<_>>>()?;
        locks.sort_unstable();
        Ok(locks)
    }
}

/// A lock file in an open directory.
#[derive(Debug, Clone)]
pub(crate) struct LockEntry {
    pub(crate) dir: Directory,
    pub(crate) name: OsString,
}

impl LockEntry {
    /// The path, with the directory as the caller named it.
    pub(crate) fn named(&self) -> PathBuf {
        self.dir.named.join(&self.name)
    }

    fn place(&self) -> Place {
        Place::of_lock_in(&self.dir.open, &self.name)
    }
}

impl Entry for LockEntry {
    fn path(&self) -> PathBuf {
        self.dir.real().join(&self.name)
    }
}

/// Whether this is the name of a lock file.
pub(crate) fn is_lock(name: &OsStr) -> bool {
    strip_suffix(name, ".jsonl.lock").is_some_and(|session| !session.is_empty())
}

/// The name of the session file that a lock file of this name is for. Other names are returned as
/// they are.
pub(crate) fn session_name(name: &OsStr) -> OsString {
    let session = if is_lock(name) { strip_suffix(name, ".lock") } else { None };
    session.unwrap_or(name).to_owned()
}

/// Looks at locks and removes stale ones, by one set of rules. Looks up each owner process once.
#[derive(Clone)]
pub(crate) struct Inspector {
    pub(crate) rules: Arc<Rules>,
    known: Arc<Known>,
}

impl Inspector {
    pub(crate) fn new(rules: &Arc<Rules>) -> Self {
        Self { rules: Arc::clone(rules), known: Arc::default() }
    }

    /// Looks at a lock. `None` if there is no lock file.
    pub(crate) fn look(&self, lock: &LockEntry) -> Option<LockReport> {
        let (place, named) = (lock.place(), lock.named());
        let own = session::owner_here(&place);
        let by = Look { rules: &self.rules, known: &self.known, own };
        match lock::look(&place, &named, &by) {
            Ok(seen) => seen.map(|seen| LockReport::seen(named, seen)),
            Err(error) => Some(LockReport::unreadable(named, &error)),
        }
    }

    /// Looks at a lock, and removes it if it is stale. Before the removal, it is judged again under
    /// its `flock`. `None` if there is no lock file any more.
    pub(crate) fn sweep(&self, lock: &LockEntry) -> Option<LockReport> {
        let found = self.look(lock)?;
        let place = lock.place();
        if found.state != LockState::Stale
            && !(found.state == LockState::Held && self.is_without_marks(&place))
        {
            return Some(found);
        }
        match self.remove(&place) {
            Ok(Swept::Removed(reasons)) => {
                Some(LockReport { state: LockState::Stale, removed: true, reasons, ..found })
            }
            // Somebody else removed it.
            Ok(Swept::Gone) => None,
            Ok(Swept::Kept(why)) => self.look(lock).map(|found| match found.state {
                LockState::Stale => LockReport { error: Some(why), ..found },
                _ => found,
            }),
            Err(_) if found.state == LockState::Held => Some(found),
            Err(error) => Some(LockReport { error: Some(error.to_string()), ..found }),
        }
    }

    /// Whether only its `flock` can tell whether a lock is held, because there are no marks here. A
    /// sweep may try the `flock`; a look may not.
    fn is_without_marks(&self, place: &Place) -> bool {
        !self.rules.marks(place.dir())
            && matches!(place.stat_lock(), Ok(Some(_)))
            && session::owner_here(place).is_none()
    }

    fn remove(&self, place: &Place) -> Result<Swept> {
        match Section::lock_within(SOON, place, true)? {
            Some(mut section) => {
                lock::remove_stale_by(place, &mut section, &self.rules, &self.known)
            }
            None => Err(super::data_lock_busy(place)),
        }
    }
}

/// Splits the path of a file into directory and name.
pub(crate) fn split(lock: &Path) -> Option<(PathBuf, &OsStr)> {
    let dir = match lock.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    lock.file_name().map(|name| (dir, name))
}
