//! How a lock file goes that is not its holder's to remove: revoked, or swept. Always under the data lock, after comparing.

use std::io;

use uuid::Uuid;

use super::super::Reason;
use super::judge::{Judgement, judge, somebody_lives, verdict_on};
use super::record::{self, Reading, Record};
use super::{LockFile, Opened, open, open_to_look};
use crate::datafile::Section;
use crate::error::{Context, Error, Holder, Result};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{flock, process};

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

/// Takes the lock from the named owner, and from no other, by removing its file under the data
/// lock. `held_here`: whether this process holds the session.
pub(crate) fn revoke(
    place: &Place,
    _data: &Section,
    named: Named,
    held_here: bool,
    rules: &Rules,
) -> Result<Holder> {
    let not_the_holder = |holder: Option<Holder>| Error::NotTheHolder {
        lock: place.lock().to_owned(),
        named: named.to_string(),
        holder: holder.map(Box::new),
    };
    let (file, stat) = match open_to_look(place)? {
        Opened::File(file, stat) => (file, stat),
        Opened::None => return Err(not_the_holder(None)),
        Opened::Denied => {
            return Err(io::ErrorKind::PermissionDenied).context("open", place.lock());
        }
    };
    let (record, foreign) = match record::read(&file).context("read", place.lock())? {
        Reading::Ours(record) => (record, false),
        Reading::Foreign(record) => (record, true),
        Reading::Spoiled | Reading::Malformed { .. } => return Err(not_the_holder(None)),
    };
    let alive = if foreign {
        verdict_on(&record, held_here, rules).alive()
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
    if place.lock_id()? != Some(stat.id) {
        return Err(not_the_holder(None));
    }
    place.dir().remove(place.lock_name()).context("remove", place.lock())?;
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
pub(crate) fn remove_stale(place: &Place, data: &mut Section, rules: &Rules) -> Result<Swept> {
    let (file, stat) = match open(place)? {
        Opened::File(file, stat) => (file, stat),
        Opened::None => return Ok(Swept::Gone),
        Opened::Denied => return Ok(Swept::Kept),
    };
    if !flock::try_lock(&file).context("lock", place.lock())? {
        return Ok(Swept::Kept);
    }
    let held = LockFile::new(file, stat.id);
    let stat = match place.stat_lock()? {
        Some(stat) if stat.id == held.id => stat,
        _ => return Ok(Swept::Gone),
    };
    let reading = record::read(&held.file).context("read", place.lock())?;
    match judge(&reading, &stat, rules) {
        Judgement::Obstacle(_) => Ok(Swept::Kept),
        Judgement::Free(reasons) => {
            // A foreign program may have judged as we did meanwhile, and put its own there.
            if place.lock_id()? != Some(held.id) {
                return Ok(Swept::Gone);
            }
            data.discard_unused(false, || held.disown());
            place.dir().remove(place.lock_name()).context("remove", place.lock())?;
            Ok(Swept::Removed(reasons))
        }
    }
}
