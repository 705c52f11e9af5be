//! How a lock file goes that is not its holder's to remove: revoked, or swept. Always under the data lock, after comparing.

use rustix::io::Errno;
use uuid::Uuid;

use super::judge::{Judgement, judge, somebody_lives, verdict_on};
use super::record::{self, Reading, Record};
use super::verdict::Reason;
use super::{LockFile, Opened, open, open_to_look, process};
use crate::error::{Context, Error, Holder, Result};
use crate::flock;
use crate::place::{FileId, Place, stat_named};
use crate::registry;
use crate::sessions::Rules;
use crate::transcript::DataLock;

/// Who is named in a revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Owner(Uuid),
    Pid(u32),
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner(owner) => write!(f, "owner {owner}"),
            Self::Pid(pid) => write!(f, "pid {pid}"),
        }
    }
}

/// Takes the lock from the named owner, and from no other, by removing its file under the data lock.
pub(crate) fn revoke(
    place: &Place,
    _data: &DataLock,
    named: Named,
    rules: &Rules,
) -> Result<Holder> {
    let not_the_holder = |holder: Option<Holder>| Error::NotTheHolder {
        lock: place.lock().to_owned(),
        named: named.to_string(),
        holder: holder.map(Box::new),
    };
    let (file, stat) = match open_to_look(place.lock())? {
        Opened::File(file, stat) => (file, stat),
        Opened::None => return Err(not_the_holder(None)),
        Opened::Denied => return Err(Errno::ACCESS).context("open", place.lock()),
    };
    let (record, foreign) = match record::read(&file).context("read", place.lock())? {
        Reading::Ours(record) => (record, false),
        Reading::Foreign(record) => (record, true),
        Reading::Spoiled | Reading::Malformed { .. } => return Err(not_the_holder(None)),
    };
    let alive = if foreign {
        verdict_on(&record, registry::hold_of(place).is_some(), rules).alive()
    } else {
        somebody_lives(&file, &stat, rules)
    };
    let holder = record.holder(alive, foreign);
    if !is_named(&record, named) {
        return Err(not_the_holder(Some(holder)));
    }
    if foreign && alive {
        return Err(Error::ForeignHolder {
            lock: place.lock().to_owned(),
            holder: Box::new(holder),
        });
    }
    // Nobody of our protocol puts another file there while we have the data lock.
    if FileId::named_by(place.lock()).context("look at", place.lock())? != Some(FileId::of(&stat)) {
        return Err(not_the_holder(None));
    }
    std::fs::remove_file(place.lock()).context("remove", place.lock())?;
    Ok(holder)
}

/// A pid means something only in its own PID namespace.
fn is_named(record: &Record, named: Named) -> bool {
    let me = process::own();
    match named {
        Named::Owner(owner) => record.owner == Some(owner),
        Named::Pid(pid) => {
            record.holder(true, false).pid == Some(i64::from(pid))
                && record.pid_ns.is_none_or(|ns| me.pid_namespace == Some(ns))
                && record.same_boot()
        }
    }
}

/// What a sweep found at a lock path.
pub(crate) enum Swept {
    /// It was stale, and is gone.
    Removed(Vec<Reason>),
    /// Somebody holds it, or may.
    Kept,
    /// There is no lock file any more.
    Gone,
}

/// Removes a lock file that nobody holds, under its own `flock` and the data lock.
pub(crate) fn remove_stale(place: &Place, data: &mut DataLock, rules: &Rules) -> Result<Swept> {
    let (file, stat) = match open(place.lock())? {
        Opened::File(file, stat) => (file, stat),
        Opened::None => return Ok(Swept::Gone),
        Opened::Denied => return Ok(Swept::Kept),
    };
    if !flock::try_lock(&file).context("lock", place.lock())? {
        return Ok(Swept::Kept);
    }
    let held = LockFile::new(file, FileId::of(&stat));
    let stat = match stat_named(place.lock()).context("look at", place.lock())? {
        Some(stat) if FileId::of(&stat) == held.id => stat,
        _ => return Ok(Swept::Gone),
    };
    let reading = record::read(&held.file).context("read", place.lock())?;
    match judge(&reading, &stat, rules) {
        Judgement::Obstacle(_) => Ok(Swept::Kept),
        Judgement::Free(reasons) => {
            // A foreign program may have judged as we did meanwhile, and put its own there.
            if FileId::named_by(place.lock()).context("look at", place.lock())? != Some(held.id) {
                return Ok(Swept::Gone);
            }
            data.discard_unused(false, || held.disown());
            std::fs::remove_file(place.lock()).context("remove", place.lock())?;
            Ok(Swept::Removed(reasons))
        }
    }
}
