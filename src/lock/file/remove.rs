//! Removing a lock file that somebody else left or holds: revoke and sweep. Both act under the data
//! lock, and compare first (I3).

use std::sync::Arc;
use uuid::Uuid;

use super::super::Reason;
use super::judge::{Judgement, foreign_holder, judge_by, somebody_lives};
use super::record::{self, Reading, Record};
use super::verdict::Known;
use super::{LockFile, Opened, adopt_session, open, open_to_look, remove_temporary_names};
use crate::datafile::Section;
use crate::error::{Context, Error, Holder, Result};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{Found, Pinned, flock, process};

/// Whom a revoke names.
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

/// Takes the lock from the named owner, and from no other, by removing its file. `held_here` says
/// whether this process holds the session.
pub(crate) fn revoke(
    place: &Place,
    section: &Section,
    named: Named,
    held_here: bool,
    rules: &Rules,
) -> Result<Holder> {
    debug_assert!(section.is_of(place));
    let not_the_holder = |holder: Option<Holder>| Error::NotTheHolder {
        lock: place.lock().to_owned(),
        named: named.to_string(),
        holder: holder.map(Box::new),
    };
    let Some((file, record, holder)) = recorded_holder(place, held_here, rules)? else {
        return Err(not_the_holder(None));
    };
    if !is_named(&record, named) {
        return Err(not_the_holder(Some(holder)));
    }
    if holder.foreign && holder.alive {
        let (lock, holder) = (place.lock().to_owned(), Box::new(holder));
        return Err(Error::ForeignHolder { lock, holder });
    }
    // No program of this protocol puts another file there while this process has the data lock.
    if !place.compare_lock(&file)?.is_this() {
        return Err(not_the_holder(None));
    }
    // A client that has a file open renames it when it is to remove it (I19).
    drop(file);
    place.remove_lock()?;
    Ok(holder)
}

/// The holder that a lock file names, with the record and the open file that it is in.
fn recorded_holder(
    place: &Place,
    held_here: bool,
    rules: &Rules,
) -> Result<Option<(Pinned, Record, Holder)>> {
    let (file, stat) = match open_to_look(place)? {
        Opened::File(file, stat) => (file, stat),
        Opened::None => return Ok(None),
        Opened::Denied(closed) => return Err(closed.into_error()).context("open", place.lock()),
    };
    Ok(match record::read(file.file()).context("read", place.lock())? {
        Reading::Ours(record) => {
            let holder = record.holder(somebody_lives(place, file.file(), rules), false);
            Some((file, record, holder))
        }
        Reading::Foreign(record) => {
            let holder = foreign_holder(&record, &stat, held_here, rules);
            Some((file, record, holder))
        }
        Reading::Spoiled | Reading::Malformed { .. } => None,
    })
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
    /// Somebody holds it, or may: that is why.
    Kept(String),
    /// There is no lock file any more.
    Gone,
}

/// Removes a lock file that nobody holds, under its own `flock` and the data lock.
pub(crate) fn remove_stale(place: &Place, section: &mut Section, rules: &Rules) -> Result<Swept> {
    remove_stale_by(place, section, rules, &Known::default())
}

/// The same in a sweep, which knows the processes of other PID namespaces.
pub(crate) fn remove_stale_by(
    place: &Place,
    section: &mut Section,
    rules: &Rules,
    known: &Known,
) -> Result<Swept> {
    debug_assert!(section.is_of(place));
    let file = match open(place)? {
        Opened::File(file, _) => file,
        Opened::None => return Ok(Swept::Gone),
        Opened::Denied(closed) => return Ok(Swept::Kept(closed.into_error().to_string())),
    };
    if !flock::try_lock(file.file()).context("lock", place.lock())? {
        return Ok(Swept::Kept("a process has the file locked at the moment".into()));
    }
    let locked = LockFile::locked(Arc::new(file));
    let Found::This(stat) = place.compare_lock(locked.pinned())? else {
        return Ok(Swept::Gone);
    };
    let reading = record::read(locked.file()).context("read", place.lock())?;
    match judge_by(
        &reading,
        &stat,
        place.dir(),
        &known.afresh(false, Some(stat.owner.number())),
        rules,
    ) {
        Judgement::Obstacle(_) => Ok(Swept::Kept("somebody may hold it by now".into())),
        Judgement::Free(reasons) => {
            // A foreign program may have come to the same judgement, and put its own file there.
            if !place.compare_lock(locked.pinned())?.is_this() {
                return Ok(Swept::Gone);
            }
            adopt_session(section, &reading);
            if stat.links > 1 {
                // What has the other name is not to change, so the record is not spoiled (I14).
                remove_temporary_names(place, locked.pinned());
            } else {
                section.discard_unused(false, || locked.disown());
            }
            place.remove_lock()?;
            Ok(Swept::Removed(reasons))
        }
    }
}
