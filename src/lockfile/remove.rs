//! How a lock file goes: revoked, swept, or tidied up after a release that left it. Always under the data lock, after comparing.

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

/// A lock file that was let go with its record left in it: the next holder takes it over, or the keeper removes it.
pub(crate) struct Leftover {
    pub(super) lock: LockFile,
    pub(super) made_session: bool,
}

impl Leftover {
    /// Removes the file if nobody has taken it meanwhile; `false` when that has to be tried again later.
    ///
    /// The data lock comes first: else one who tries for the turn just then would meet this look, and take it for a holder.
    pub(crate) fn tidy(&self, place: &Place) -> Result<bool> {
        if !self.is_untouched(place)? {
            return Ok(true);
        }
        let Some(mut data) = DataLock::try_now(place, true)? else { return Ok(false) };
        let file = &self.lock.file;
        if !flock::try_lock(file).context("lock", place.lock())? {
            // Who has it will write a record of its own, or give it up without one: that is not known yet (I12).
            return Ok(false);
        }
        let removed = self.is_untouched(place).and_then(|mine| {
            if mine {
                data.discard_unused(self.made_session);
                self.lock.unlink(place, &data)?;
            }
            Ok(true)
        });
        flock::unlock(file);
        removed
    }

    /// Whether the path still names this file, with the record that was left in it.
    fn is_untouched(&self, place: &Place) -> Result<bool> {
        let LockFile { file, id, record, .. } = &self.lock;
        Ok(FileId::named_by(place.lock()).context("look at", place.lock())? == Some(*id)
            && record::is_still(file, record).context("read", place.lock())?)
    }
}

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
pub(crate) fn revoke(place: &Place, _data: &DataLock, named: Named, rules: &Rules) -> Result<Holder> {
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
        return Err(Error::ForeignHolder { lock: place.lock().to_owned(), holder: Box::new(holder) });
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
            data.discard_unused(false);
            std::fs::remove_file(place.lock()).context("remove", place.lock())?;
            Ok(Swept::Removed(reasons))
        }
    }
}
