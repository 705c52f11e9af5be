//! Many locks: look, and clean. One bad entry never stops the rest.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Context, Error, Holder, Result};
use crate::lockfile::record::{self, Reading};
use crate::lockfile::verdict::{Outcome, Reason};
use crate::lockfile::{self, Judgement, Obstacle, Opened, Swept};
use crate::place::Place;
use crate::registry;
use crate::sessions::Rules;
use crate::transcript::DataLock;
use crate::transcript::rewrite::leftover_of;

/// What was found at a lock path, and what was done about it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LockReport {
    /// The lock file.
    #[serde(serialize_with = "lossy")]
    pub lock: PathBuf,
    /// Its state.
    pub state: LockState,
    /// Who is named in it.
    pub holder: Option<Holder>,
    /// Why it is stale; or, for a living owner, what is remarkable about it (`too-old`).
    pub reasons: Vec<Reason>,
    /// Whether a sweep has removed it.
    pub removed: bool,
    /// Why it could not be looked at.
    pub error: Option<String>,
}

/// The state of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LockState {
    /// A living holder of our protocol.
    Held,
    /// A living program that does not speak our protocol.
    Foreign,
    /// Nobody holds it; the next one takes it over.
    Stale,
    /// Empty or half written, and still fresh: a foreign program may be at it.
    Fresh,
    /// Named by another host or boot, on a network filesystem.
    Remote,
    /// It could not be looked at.
    Unreadable,
}

impl LockState {
    /// The word for it, as in reports and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Foreign => "foreign",
            Self::Stale => "stale",
            Self::Fresh => "fresh",
            Self::Remote => "remote",
            Self::Unreadable => "unreadable",
        }
    }
}

pub(crate) fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl LockReport {
    fn new(lock: &Path, state: LockState, holder: Option<Holder>, reasons: Vec<Reason>) -> Self {
        Self { lock: lock.to_owned(), state, holder, reasons, removed: false, error: None }
    }

    fn unreadable(lock: &Path, error: &Error) -> Self {
        Self { error: Some(error.to_string()), ..Self::new(lock, LockState::Unreadable, None, Vec::new()) }
    }

    /// The session file that the lock is for.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.lock.with_extension("")
    }
}

/// The lock files of a directory, in the order of their names.
pub(crate) fn locks_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut locks = Vec::new();
    for entry in std::fs::read_dir(dir).context("read the directory", dir)? {
        let entry = entry.context("read the directory", dir)?;
        let name = entry.file_name();
        if name.as_bytes().ends_with(b".jsonl.lock") && name.len() > b".jsonl.lock".len() {
            locks.push(dir.join(name));
        }
    }
    locks.sort_unstable();
    Ok(locks)
}

/// Looks at every lock of a directory; changes nothing.
pub(crate) fn look_at_all(dir: &Path, rules: &Rules) -> Result<Vec<LockReport>> {
    Ok(locks_in(dir)?.iter().filter_map(|lock| look(lock, rules)).collect())
}

/// Looks at a lock, without touching it; `None` if there is none.
pub(crate) fn look(lock: &Path, rules: &Rules) -> Option<LockReport> {
    match try_look(lock, rules) {
        Ok(found) => found,
        Err(error) => Some(LockReport::unreadable(lock, &error)),
    }
}

fn try_look(lock: &Path, rules: &Rules) -> Result<Option<LockReport>> {
    let (file, stat) = match lockfile::open_to_look(lock)? {
        Opened::File(file, stat) => (file, stat),
        Opened::None => return Ok(None),
        Opened::Denied => return Err(rustix::io::Errno::ACCESS).context("open", lock),
    };
    let reading = record::read(&file).context("read", lock)?;
    let hold = Place::of_lock(lock).ok().and_then(|place| registry::hold_of(&place));
    let known = hold.is_some();
    // A turn that was lost, but is not let go yet, is not the one that the record tells of.
    let is_ours = |owner| hold.as_ref().is_some_and(|hold| Some(hold.owner) == owner);
    let report = match &reading {
        Reading::Ours(record) if is_ours(record.owner) || lockfile::somebody_lives(&file, &stat, rules) => {
            LockReport::new(lock, LockState::Held, Some(record.holder(true, false)), Vec::new())
        }
        Reading::Foreign(record) => {
            let verdict = lockfile::verdict_on(record, known, rules);
            if verdict.outcome == Outcome::Alive {
                LockReport::new(lock, LockState::Foreign, Some(record.holder(true, true)), verdict.reasons)
            } else {
                judged(lock, &reading, &stat, rules)
            }
        }
        _ => judged(lock, &reading, &stat, rules),
    };
    Ok(Some(report))
}

fn judged(lock: &Path, reading: &Reading, stat: &rustix::fs::Stat, rules: &Rules) -> LockReport {
    let holder = match reading {
        Reading::Ours(record) => Some(record.holder(false, false)),
        Reading::Foreign(record) => Some(record.holder(false, true)),
        Reading::Spoiled | Reading::Malformed { .. } => None,
    };
    match lockfile::judge(reading, stat, rules) {
        Judgement::Free(reasons) => LockReport::new(lock, LockState::Stale, holder, reasons),
        Judgement::Obstacle(obstacle) => LockReport::new(lock, state_of(&obstacle), holder, Vec::new()),
    }
}

fn state_of(obstacle: &Obstacle) -> LockState {
    match obstacle {
        Obstacle::Kernel { .. } => LockState::Held,
        Obstacle::Foreign => LockState::Foreign,
        Obstacle::Fresh => LockState::Fresh,
        Obstacle::Remote(_) => LockState::Remote,
        Obstacle::Closed => LockState::Unreadable,
    }
}

/// Removes the stale locks of a directory, keeps and reports the rest.
pub(crate) fn sweep(dir: &Path, rules: &Rules) -> Result<Vec<LockReport>> {
    Ok(locks_in(dir)?.iter().filter_map(|lock| sweep_one(lock, rules)).collect())
}

/// Removes a lock if it is stale; `None` if there is none any more.
pub(crate) fn sweep_one(lock: &Path, rules: &Rules) -> Option<LockReport> {
    let found = look(lock, rules)?;
    if found.state != LockState::Stale {
        return Some(found);
    }
    match try_remove(lock, rules) {
        Ok(Swept::Removed(reasons)) => Some(LockReport { removed: true, reasons, ..found }),
        // Somebody was faster.
        Ok(Swept::Gone) => None,
        Ok(Swept::Kept) => look(lock, rules),
        Err(error) => Some(LockReport { error: Some(error.to_string()), ..found }),
    }
}

fn try_remove(lock: &Path, rules: &Rules) -> Result<Swept> {
    let place = Place::of_lock(lock)?;
    match DataLock::try_now(&place, true)? {
        Some(data) => lockfile::remove_stale(&place, &data, rules),
        None => Err(Error::DataLockBusy {
            session: place.session().to_owned(),
            pid: crate::transcript::who_is_inside(&place),
            waited: std::time::Duration::ZERO,
        }),
    }
}

/// Removes what an interrupted rewrite or repair left behind; `false` while somebody holds the session, whose work it may be.
pub(crate) fn remove_leftover(path: &Path, rules: &Rules) -> Result<bool> {
    let Some(session) = leftover_of(path) else { return Ok(false) };
    let place = Place::resolve(&session, false)?;
    let Some(data) = DataLock::try_now(&place, true)? else { return Ok(false) };
    match lockfile::remove_stale(&place, &data, rules)? {
        Swept::Kept => Ok(false),
        Swept::Removed(_) | Swept::Gone => {
            std::fs::remove_file(path).context("remove", path)?;
            Ok(true)
        }
    }
}
