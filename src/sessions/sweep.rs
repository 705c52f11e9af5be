//! Many locks in many directories: look, and clean. One bad entry never stops the rest.

pub(crate) mod leftover;
pub(crate) mod look;
pub(crate) mod pool;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Holder, Result};
pub use crate::lock::LockState;
use crate::lock::{Reason, Seen};
use crate::place::Place;
use crate::rules::Rules;
use look::{Directory, Looker};

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

pub(crate) fn lossy<S: serde::Serializer>(
    path: &Path,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
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
        let told = match error {
            // The path is told beside it.
            Error::NotALockFile { reason, .. } => {
                format!("not a lock file: {reason}; move it away")
            }
            other => other.to_string(),
        };
        Self { error: Some(told), ..Self::new(lock, LockState::Unreadable) }
    }

    /// Whether its record names this very process, which does not hold it.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.reasons.contains(&Reason::OrphanSelfPid)
    }

    /// The session file that the lock is for.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.lock.with_extension("")
    }
}

/// An entry that does not get on for longer than this is given up: a network mount whose server is gone.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The locks of one of many directories.
#[derive(Debug)]
#[non_exhaustive]
pub struct DirectoryReport {
    /// The directory, as it was named.
    pub dir: PathBuf,
    /// Its locks in the order of their names, or why it cannot be read.
    pub locks: Result<Vec<LockReport>>,
}

#[derive(Clone, Copy)]
enum Deed {
    Look,
    Sweep,
}

impl Deed {
    fn on(self, looker: &Looker, dir: &Directory, name: &OsStr) -> Option<LockReport> {
        match self {
            Self::Look => looker.look(dir, name),
            Self::Sweep => looker.sweep(dir, name),
        }
    }
}

/// Looks at every lock of a directory; changes nothing.
pub(crate) fn look_at_all(dir: &Path, rules: &Arc<Rules>) -> Result<Vec<LockReport>> {
    one(Deed::Look, dir, rules)
}

/// Looks at every lock of many directories; changes nothing.
pub(crate) fn look_at_many(dirs: Vec<PathBuf>, rules: &Arc<Rules>) -> Vec<DirectoryReport> {
    many(Deed::Look, dirs, rules)
}

/// Removes the stale locks of a directory, keeps and reports the rest.
pub(crate) fn sweep(dir: &Path, rules: &Arc<Rules>) -> Result<Vec<LockReport>> {
    one(Deed::Sweep, dir, rules)
}

/// Removes the stale locks of many directories, keeps and reports the rest.
pub(crate) fn sweep_many(dirs: Vec<PathBuf>, rules: &Arc<Rules>) -> Vec<DirectoryReport> {
    many(Deed::Sweep, dirs, rules)
}

/// Looks at a lock, without touching it; `None` if there is none.
pub(crate) fn look(lock: &Path, rules: &Arc<Rules>) -> Option<LockReport> {
    one_lock(Deed::Look, lock, rules)
}

/// Removes a lock if it is stale; `None` if there is none any more.
#[cfg(feature = "gateway")]
pub(crate) fn sweep_one(lock: &Path, rules: &Arc<Rules>) -> Option<LockReport> {
    one_lock(Deed::Sweep, lock, rules)
}

fn one_lock(deed: Deed, lock: &Path, rules: &Arc<Rules>) -> Option<LockReport> {
    let (dir, name) = look::split(lock)?;
    match Directory::open(&dir) {
        Ok(dir) => deed.on(&Looker::new(rules), &dir, name),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(LockReport::unreadable(lock.to_owned(), &error)),
    }
}

fn one(deed: Deed, dir: &Path, rules: &Arc<Rules>) -> Result<Vec<LockReport>> {
    match many(deed, vec![dir.to_owned()], rules).pop() {
        Some(report) => report.locks,
        None => Ok(Vec::new()),
    }
}

fn many(deed: Deed, dirs: Vec<PathBuf>, rules: &Arc<Rules>) -> Vec<DirectoryReport> {
    let mut entries: Vec<(Directory, OsString)> = Vec::new();
    let mut reports: Vec<(PathBuf, Result<usize>)> = Vec::new();
    for dir in dirs {
        let listed = Directory::open(&dir).and_then(|directory| {
            let names = directory.locks()?;
            let count = names.len();
            entries.extend(names.into_iter().map(|name| (directory.clone(), name)));
            Ok(count)
        });
        reports.push((dir, listed));
    }
    let paths: Vec<_> =
        entries.iter().map(|(dir, name)| (Arc::clone(&dir.named), name.clone())).collect();
    let looker = Looker::new(rules);
    let work =
        move |(dir, name): &(Directory, OsString), _: &pool::Pulse| deed.on(&looker, dir, name);
    let results =
        pool::each(entries, pool::Pace { limit: STUCK_AFTER, per_thread: 64 }, work, |_| {});
    let mut found = results.into_iter().zip(paths);
    let mut take = |count: usize| {
        let locks = found.by_ref().take(count);
        locks
            .filter_map(|(report, (dir, name))| {
                report.unwrap_or_else(|| Some(stuck(dir.join(name))))
            })
            .collect()
    };
    reports
        .into_iter()
        .map(|(dir, count)| DirectoryReport { dir, locks: count.map(&mut take) })
        .collect()
}

/// The report on a lock at which the system did not answer.
pub(crate) fn stuck(lock: PathBuf) -> LockReport {
    LockReport { error: Some(no_answer()), ..LockReport::new(lock, LockState::Unreadable) }
}

pub(crate) fn no_answer() -> String {
    format!(
        "the system gave no answer for {} s; is its filesystem reachable?",
        STUCK_AFTER.as_secs()
    )
}

pub(crate) fn data_lock_busy(place: &Place) -> Error {
    Error::DataLockBusy {
        session: place.session().to_owned(),
        pid: crate::datafile::who_is_inside(place),
        waited: Duration::ZERO,
    }
}
