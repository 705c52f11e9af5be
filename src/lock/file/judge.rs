//! Judging a lock file by its record: whether one whose `flock` is free may be taken over, and who
//! holds one whose `flock` is not.

use std::fs::File;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use uuid::Uuid;

use super::super::Reason;
use super::record::{self, Reading, Record};
use super::verdict::{self, Facts, Limits, Outcome, Processes, Verdict};
use super::{Obstacle, Opened, marks, open_to_look};
use crate::error::{Holder, printable};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::range_lock::{self, Kind};
use crate::sys::{Dir, Pinned, Stat, flock, process};

/// Whether a lock file whose `flock` is free may be taken over.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// Nobody holds it, for these reasons.
    Free(Vec<Reason>),
    /// Somebody may hold it.
    Obstacle(Obstacle),
}

/// Judges a lock file whose `flock` is free, by its record.
pub(crate) fn judge(reading: &Reading, stat: &Stat, dir: &Dir, rules: &Rules) -> Judgement {
    // A process that contends for a lock does not hold it: its own tasks queue in memory first.
    judge_by(reading, stat, dir, &Processes::of_lock(false, Some(stat.owner.number())), rules)
}

/// The same, by facts about processes that are known already.
pub(crate) fn judge_by(
    reading: &Reading,
    stat: &Stat,
    dir: &Dir,
    facts: &impl Facts,
    rules: &Rules,
) -> Judgement {
    match reading {
        Reading::Spoiled => Judgement::Free(vec![Reason::DeadOwner]),
        // The server has granted the lock, so that no host has it.
        Reading::Ours(_) if rules.is_served(dir) => Judgement::Free(vec![Reason::DeadOwner]),
        Reading::Ours(record) if rules.remote(dir) && !record.same_boot() => {
            Judgement::Obstacle(Obstacle::Remote(Box::new(record.clone())))
        }
        Reading::Ours(record) if record.same_boot() => Judgement::Free(vec![Reason::DeadOwner]),
        Reading::Ours(_) => Judgement::Free(vec![Reason::OtherBoot]),
        Reading::Foreign(record) if rules.remote(dir) => {
            Judgement::Obstacle(Obstacle::Remote(Box::new(record.clone())))
        }
        Reading::Foreign(record) => judge_foreign(record, stat, facts, rules),
        Reading::Malformed { empty } => {
            judge_malformed(stat, rules, if *empty { Reason::Empty } else { Reason::Malformed })
        }
    }
}

/// Judges the owner of a foreign record by its process, and describes it.
pub(crate) fn foreign_holder(
    record: &Record,
    stat: &Stat,
    held_here: bool,
    rules: &Rules,
) -> Holder {
    let facts = Processes::of_lock(held_here, Some(stat.owner.number()));
    describe(record, &verdict_by(record, &facts, rules))
}

/// Judges the owner of a foreign record by facts about its process.
pub(crate) fn verdict_by(record: &Record, facts: &impl Facts, rules: &Rules) -> Verdict {
    let limits = Limits { too_old: rules.too_old, assume_local: rules.assume_local };
    verdict::judge(&record.claim(), facts, Timestamp::now(), limits)
}

/// Describes the owner of a foreign record by the verdict on it.
pub(crate) fn describe(record: &Record, verdict: &Verdict) -> Holder {
    Holder {
        host_pid: verdict.elsewhere.map(i64::from),
        container: verdict.elsewhere.and_then(process::container).map(|name| printable(&name)),
        unseen: verdict.outcome == Outcome::Unseen,
        ..record.holder(verdict.alive(), true)
    }
}

fn judge_foreign(record: &Record, stat: &Stat, facts: &impl Facts, rules: &Rules) -> Judgement {
    let verdict = verdict_by(record, facts, rules);
    match verdict.outcome {
        Outcome::Nobody => {
            let reason = verdict.reasons.first().copied();
            judge_malformed(stat, rules, reason.unwrap_or(Reason::MissingPid))
        }
        Outcome::Dead => Judgement::Free(verdict.reasons),
        Outcome::Alive => Judgement::Obstacle(Obstacle::Foreign),
        Outcome::Unseen => Judgement::Obstacle(Obstacle::Unseen),
    }
}

/// Respects a record without an owner while it is fresh: a foreign program may have created the
/// file and not written into it yet.
fn judge_malformed(stat: &Stat, rules: &Rules, reason: Reason) -> Judgement {
    let changed = stat.modified;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // A time in the future, or before the boot, tells nothing: the grace counts as expired.
    let fresh = now.checked_sub(changed).is_some_and(|age| age < rules.malformed_grace)
        && since_epoch(process::boot_time()) <= changed;
    if fresh { Judgement::Obstacle(Obstacle::Fresh) } else { Judgement::Free(vec![reason]) }
}

fn since_epoch(time: Option<Timestamp>) -> Duration {
    time.and_then(|time| SystemTime::from(time).duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default()
}

/// Who holds the lock at a path, for messages. Takes no lock. `own` is the owner of this process's
/// own hold of the session, if it has one.
pub(crate) fn holder_at(place: &Place, own: Option<Uuid>, rules: &Rules) -> Option<Holder> {
    let (file, stat) = match open_to_look(place) {
        Ok(Opened::File(file, stat)) => (file, stat),
        Ok(Opened::Denied(closed)) => {
            return closed.owner.map(Holder::behind_closed_file);
        }
        _ => return None,
    };
    match record::read(file.file()).ok()? {
        Reading::Ours(record) => {
            // The record may name another owner, if the own turn was lost.
            let is_ours = own.is_some() && own == record.owner;
            let alive = is_ours || somebody_lives(place, file.file(), rules);
            Some(record.holder(alive, false))
        }
        Reading::Foreign(record) => Some(foreign_holder(&record, &stat, own.is_some(), rules)),
        Reading::Spoiled | Reading::Malformed { .. } => None,
    }
}

/// Whether anybody has the `flock` of a lock file at a server, which this process has let go. A
/// hint.
pub(crate) fn is_had(lock: &Pinned) -> bool {
    range_lock::is_in_the_way(lock.file(), Kind::Exclusive, 0..i64::MAX).unwrap_or(true)
}

/// Whether a holder of this protocol lives, by its mark, or as a server says. Does not touch its
/// lock.
pub(crate) fn somebody_lives(place: &Place, file: &File, rules: &Rules) -> bool {
    if rules.is_served(place.dir()) {
        // There `flock` is a lock on all bytes, and the server tells whether anybody has it. A
        // client to which the file is delegated does not ask the server. If it says that nobody
        // has the lock, a shared one is tried, which keeps only an acquirer waiting for a moment.
        return range_lock::is_in_the_way(file, Kind::Exclusive, 0..i64::MAX).unwrap_or(true)
            || !flock::is_free(file);
    }
    // Without marks only the lock itself tells. It is had for a moment, shared, which keeps an
    // acquirer waiting for that long.
    if rules.marks(place.dir()) { marks::somebody_holds(file) } else { !flock::is_free(file) }
}
