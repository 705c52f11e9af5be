//! One lock, looked at: its flock is not taken, so that nobody is disturbed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Stat;

use super::processes::Known;
use super::{LockReport, LockState};
use crate::error::{Context, Holder, Result};
use crate::lockfile::record::{self, Reading};
use crate::lockfile::verdict::{Outcome, Reason};
use crate::lockfile::{self, Judgement, Obstacle, Opened, Swept, probe};
use crate::place::Place;
use crate::registry;
use crate::sessions::Rules;
use crate::transcript::DataLock;

/// A directory whose locks are looked at: as it was named, and resolved.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) named: Arc<Path>,
    pub(crate) real: Arc<Path>,
}

impl Directory {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let real = dir.canonicalize().context("find the directory", dir)?;
        let stat = rustix::fs::stat(&real).context("look at", &real)?;
        probe::ask_mount(&real, stat.st_dev);
        Ok(Self { named: Arc::from(dir), real: Arc::from(real) })
    }

    /// The names of its lock files, in their order.
    pub(crate) fn locks(&self) -> Result<Vec<OsString>> {
        let mut locks = Vec::new();
        for entry in std::fs::read_dir(&self.real).context("read the directory", &self.named)? {
            let name = entry.context("read the directory", &self.named)?.file_name();
            if is_lock(&name) {
                locks.push(name);
            }
        }
        locks.sort_unstable();
        Ok(locks)
    }
}

/// Whether a file of this name is a lock file.
pub(crate) fn is_lock(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".jsonl.lock") && name.len() > b".jsonl.lock".len()
}

/// The name of the session that a lock file of this name is for; a session's own name stays.
pub(crate) fn session_name(name: &OsStr) -> OsString {
    let session = if is_lock(name) { name.as_bytes().strip_suffix(b".lock") } else { None };
    OsStr::from_bytes(session.unwrap_or(name.as_bytes())).to_owned()
}

/// Looks, and removes, by one set of rules and with one memory of processes.
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
        let place = Place::of_lock_in(&dir.real, name);
        let named = dir.named.join(name);
        match self.try_look(&place, &named) {
            Ok(found) => found,
            Err(error) => Some(LockReport::unreadable(named, &error)),
        }
    }

    fn try_look(&self, place: &Place, named: &Path) -> Result<Option<LockReport>> {
        let (file, stat) = match lockfile::open_to_look(place.lock())? {
            Opened::File(file, stat) => (file, stat),
            Opened::None => return Ok(None),
            Opened::Denied => return Err(rustix::io::Errno::ACCESS).context("open", named),
        };
        let reading = record::read(&file).context("read", named)?;
        // A turn of this process that was lost, but not let go of yet, is not the one that the record tells of.
        let is_ours =
            |owner| registry::hold_of(place).is_some_and(|hold| Some(hold.owner) == owner);
        let lives = |owner| is_ours(owner) || lockfile::somebody_lives(&file, &stat, &self.rules);
        let elsewhere =
            |record: &record::Record| self.rules.remote(stat.st_dev) && !record.same_boot();
        let (state, holder, reasons) = match &reading {
            Reading::Ours(record) if !elsewhere(record) && lives(record.owner) => {
                let holder = record.holder(true, false);
                let reasons = self.remark_on_age(&holder);
                (LockState::Held, Some(holder), reasons)
            }
            Reading::Foreign(record) => self.foreign(place, record, &reading, &stat),
            _ => self.judged(&reading, &stat),
        };
        Ok(Some(LockReport { holder, reasons, ..LockReport::new(named.to_owned(), state) }))
    }

    /// A holder of our protocol is alive by the kernel's word, whatever its age: that is told, and changes nothing.
    fn remark_on_age(&self, holder: &Holder) -> Vec<Reason> {
        holder
            .age()
            .filter(|age| *age > self.rules.too_old)
            .map(|_| Reason::TooOld)
            .into_iter()
            .collect()
    }

    fn foreign(
        &self,
        place: &Place,
        record: &record::Record,
        reading: &Reading,
        stat: &Stat,
    ) -> Found {
        let facts = self.known.facts(registry::hold_of(place).is_some());
        let verdict = lockfile::verdict_by(record, &facts, &self.rules);
        if verdict.outcome == Outcome::Alive && !self.rules.remote(stat.st_dev) {
            return (LockState::Foreign, Some(record.holder(true, true)), verdict.reasons);
        }
        self.judged(reading, stat)
    }

    fn judged(&self, reading: &Reading, stat: &Stat) -> Found {
        let holder = match reading {
            Reading::Ours(record) => Some(record.holder(false, false)),
            Reading::Foreign(record) => Some(record.holder(false, true)),
            Reading::Spoiled | Reading::Malformed { .. } => None,
        };
        match lockfile::judge_by(reading, stat, &self.known.facts(false), &self.rules) {
            Judgement::Free(reasons) => (LockState::Stale, holder, reasons),
            Judgement::Obstacle(obstacle) => (state_of(&obstacle), holder, Vec::new()),
        }
    }

    /// Looks at a lock, and removes it if it is stale, by a judgement made anew under its flock; `None` if there is none any more.
    pub(crate) fn sweep(&self, dir: &Directory, name: &OsStr) -> Option<LockReport> {
        let found = self.look(dir, name)?;
        let place = Place::of_lock_in(&dir.real, name);
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

    /// Where there are no marks, only its flock could tell whether a lock is held: whoever removes may try that.
    fn is_without_marks(&self, place: &Place) -> bool {
        let stat = crate::place::stat_named(place.lock());
        matches!(stat, Ok(Some(stat)) if !self.rules.marks(stat.st_dev))
            && registry::hold_of(place).is_none()
    }

    fn remove(&self, place: &Place) -> Result<Swept> {
        match DataLock::try_now(place, true)? {
            Some(mut data) => lockfile::remove_stale(place, &mut data, &self.rules),
            None => Err(super::data_lock_busy(place)),
        }
    }
}

type Found = (LockState, Option<Holder>, Vec<Reason>);

fn state_of(obstacle: &Obstacle) -> LockState {
    match obstacle {
        Obstacle::Kernel { .. } => LockState::Held,
        Obstacle::Foreign => LockState::Foreign,
        Obstacle::Fresh => LockState::Fresh,
        Obstacle::Remote(_) => LockState::Remote,
        Obstacle::Closed => LockState::Unreadable,
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
