//! Status and sweep: looks at the locks of many directories, and removes the stale ones.
//!
//! A lock or directory that cannot be read is reported and never stops the rest.

pub(crate) mod leftover;
pub(crate) mod look;
pub(crate) mod pool;
mod silence;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Holder, Result};
pub use crate::lock::LockState;
use crate::lock::{Reason, Seen};
use crate::place::Place;
use crate::rules::Rules;
use crate::sessions::paths;
use look::{Directory, Inspector, LockEntry};

/// The state of one lock file, and what was done about it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LockReport {
    /// The path of the lock file.
    #[serde(flatten, serialize_with = "paths::lock")]
    pub lock: PathBuf,
    /// Its state.
    pub state: LockState,
    /// The holder that its record names.
    pub holder: Option<Holder>,
    /// Why it is stale. For a living owner: what is remarkable about it (`too-old`).
    pub reasons: Vec<Reason>,
    /// Whether this sweep removed it.
    pub removed: bool,
    /// Why it could not be read, or not be removed.
    pub error: Option<String>,
}

impl LockReport {
    fn new(lock: PathBuf, state: LockState) -> Self {
        Self { lock, state, holder: None, reasons: Vec::new(), removed: false, error: None }
    }

    fn seen(lock: PathBuf, seen: Seen) -> Self {
        let Seen { state, holder, reasons } = seen;
        Self { holder, reasons, ..Self::new(lock, state) }
    }

    fn unreadable(lock: PathBuf, error: &Error) -> Self {
        let reason = match error {
            // The report has the path already.
            Error::NotALockFile { reason, .. } => {
                format!("not a lock file: {reason}")
            }
            other => other.to_string(),
        };
        Self { error: Some(reason), ..Self::new(lock, LockState::Unreadable) }
    }

    /// Whether its record names this process, which does not hold it.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.reasons.contains(&Reason::OrphanSelfPid)
    }

    /// The path of the session file that the lock is for.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.lock.with_extension("")
    }
}

/// An entry that makes no progress for this long is abandoned, as on a network mount without its
/// server.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(10);

const LIMITS: pool::Limits = pool::Limits { stuck_after: STUCK_AFTER, per_thread: 64 };

/// The locks of one directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct DirectoryReport {
    /// The directory, as the caller named it.
    pub dir: PathBuf,
    /// Its locks, in the order of their names. An error if the directory cannot be read.
    pub locks: Result<Vec<LockReport>>,
}

/// What to do with a lock.
#[derive(Clone, Copy)]
enum Action {
    Look,
    Sweep,
}

impl Action {
    fn apply(self, inspector: &Inspector, lock: &LockEntry) -> Option<LockReport> {
        match self {
            Self::Look => inspector.look(lock),
            Self::Sweep => inspector.sweep(lock),
        }
    }
}

/// Looks at every lock of a directory. Changes nothing.
pub(crate) fn look_at_all(dir: &Path, rules: &Arc<Rules>) -> Result<Vec<LockReport>> {
    in_directory(Action::Look, dir, rules)
}

/// Looks at every lock of many directories. Changes nothing.
pub(crate) fn look_at_many(dirs: Vec<PathBuf>, rules: &Arc<Rules>) -> Vec<DirectoryReport> {
    in_directories(Action::Look, dirs, rules)
}

/// Removes the stale locks of a directory. Keeps and reports the rest.
pub(crate) fn sweep(dir: &Path, rules: &Arc<Rules>) -> Result<Vec<LockReport>> {
    in_directory(Action::Sweep, dir, rules)
}

/// Removes the stale locks of many directories. Keeps and reports the rest.
pub(crate) fn sweep_many(dirs: Vec<PathBuf>, rules: &Arc<Rules>) -> Vec<DirectoryReport> {
    in_directories(Action::Sweep, dirs, rules)
}

/// Looks at one lock. Changes nothing. `None` if there is no lock file.
pub(crate) fn look(lock: &Path, rules: &Arc<Rules>) -> Option<LockReport> {
    on_path(Action::Look, lock, rules)
}

/// Removes one lock if it is stale. `None` if there is no lock file any more.
#[cfg(feature = "gateway")]
pub(crate) fn sweep_one(lock: &Path, rules: &Arc<Rules>) -> Option<LockReport> {
    on_path(Action::Sweep, lock, rules)
}

fn on_path(action: Action, lock: &Path, rules: &Arc<Rules>) -> Option<LockReport> {
    let (dir, name) = look::split(lock)?;
    match Directory::open(&dir) {
        Ok(dir) => action.apply(&Inspector::new(rules), &LockEntry { dir, name: name.to_owned() }),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(LockReport::unreadable(lock.to_owned(), &error)),
    }
}

fn in_directory(action: Action, dir: &Path, rules: &Arc<Rules>) -> Result<Vec<LockReport>> {
    match in_directories(action, vec![dir.to_owned()], rules).pop() {
        Some(report) => report.locks,
        None => Ok(Vec::new()),
    }
}

fn in_directories(action: Action, dirs: Vec<PathBuf>, rules: &Arc<Rules>) -> Vec<DirectoryReport> {
    let mut locks = Vec::new();
    let list = |dir: &PathBuf, alive: &pool::Heartbeat| list_locks(dir, alive);
    let listed = pool::map(dirs.clone(), LIMITS, list, |_| {}).into_iter().zip(&dirs);
    let counts: Vec<_> = listed
        .map(|(listed, dir)| {
            let listed = listed.unwrap_or_else(|| Err(silent(dir)))?;
            let count = listed.len();
            locks.extend(listed);
            Ok(count)
        })
        .collect();
    let mut reports = apply_to_all(action, locks, rules).into_iter();
    let mut take = |count| reports.by_ref().take(count).flatten().collect();
    dirs.into_iter()
        .zip(counts)
        .map(|(dir, count)| DirectoryReport { dir, locks: count.map(&mut take) })
        .collect()
}

/// The locks of a directory.
fn list_locks(dir: &Path, alive: &pool::Heartbeat) -> Result<Vec<LockEntry>> {
    let dir = Directory::open(dir)?;
    let names = dir.lock_names(|| alive.beat())?;
    Ok(names.into_iter().map(|name| LockEntry { dir: dir.clone(), name }).collect())
}

/// The error of a directory that gives no answer.
fn silent(dir: &Path) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, no_answer());
    Error::Io { action: "read the directory", path: dir.to_owned(), source }
}

/// One result for each lock. `None` for a lock that is gone.
fn apply_to_all(
    action: Action,
    locks: Vec<LockEntry>,
    rules: &Arc<Rules>,
) -> Vec<Option<LockReport>> {
    let inspector = Inspector::new(rules);
    let work = move |lock: &LockEntry, _: &pool::Heartbeat| action.apply(&inspector, lock);
    pool::map(locks.clone(), LIMITS, work, |_| {})
        .into_iter()
        .zip(locks)
        .map(|(report, lock)| report.unwrap_or_else(|| Some(stuck(lock.named()))))
        .collect()
}

/// The report on a lock for which a system call did not return.
fn stuck(lock: PathBuf) -> LockReport {
    LockReport { error: Some(no_answer()), ..LockReport::new(lock, LockState::Unreadable) }
}

/// The error text for a system call that did not return.
pub(crate) fn no_answer() -> String {
    format!(
        "the system gave no answer for {} s; is its filesystem reachable?",
        STUCK_AFTER.as_secs()
    )
}

fn data_lock_busy(place: &Place) -> Error {
    crate::datafile::busy(place, Duration::ZERO)
}
