//! Judging the owner of a *foreign* record. The program that wrote it takes no kernel lock, so only
//! process id, start time and command line can tell whether it lives.
//!
//! Certain evidence comes first, and guesses come last. What cannot be read counts in favour of the
//! owner: to take a lock from a living process costs a session's data, to respect a dead one costs
//! a wait. Age is reported and decides nothing (I13).
//!
//! The recorded id is one of the owner's own PID namespace, which the record does not name. Who is
//! dead in ours is therefore looked for in all others that can be seen from here. If there may be
//! some that cannot, a lock is left alone that its owner may hold there.

mod facts;
mod known;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub(crate) use facts::{Elsewhere, Facts, Processes};
pub(crate) use known::Known;

use super::super::Reason;
use crate::compat::openclaw;
use crate::sys::process::ProcessState;

/// What a foreign record says about its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub pid: PidClaim,
    /// `None` if there is no date, or none that can be read.
    pub created_at: Option<Timestamp>,
    /// Field 22 of the owner's `/proc/<pid>/stat`, in records of newer programs.
    pub start_time: Option<u64>,
}

/// The process id of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PidClaim {
    Missing,
    /// Something that cannot be a process id: a string, zero, a fraction, 2^31.
    Invalid,
    Pid(i32),
}

impl PidClaim {
    /// The claim in a record's field `pid`.
    pub(crate) fn from_json(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Missing,
            value => value.as_i64().map_or(Self::Invalid, Self::from_number),
        }
    }

    pub(crate) fn from_number(pid: i64) -> Self {
        match i32::try_from(pid) {
            Ok(pid) if pid > 0 => Self::Pid(pid),
            _ => Self::Invalid,
        }
    }
}

/// What happens to a lock file with a foreign record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Somebody holds it, as far as can be seen: wait.
    Alive,
    /// Its owner may live in a PID namespace that cannot be seen from here: wait.
    Unseen,
    /// Its owner is gone: take over.
    Dead,
    /// The record names no process that could be looked up. As with a malformed record, the file's
    /// age decides: respect it while it is fresh, then take over.
    Nobody,
}

/// The outcome, and what to report about the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub outcome: Outcome,
    /// The id of the living owner in our PID namespace, if its own is another one.
    pub elsewhere: Option<i32>,
    /// First the reason for [`Outcome::Dead`] or [`Outcome::Nobody`], then what is only reported: a
    /// living owner may have [`Reason::TooOld`] or [`Reason::InvalidCreatedAt`] too.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// Whether the owner lives, or may live where it cannot be seen.
    pub(crate) fn alive(&self) -> bool {
        matches!(self.outcome, Outcome::Alive | Outcome::Unseen)
    }
}

/// The limits by which owners are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// An age of more than this is reported.
    pub(crate) too_old: Duration,
    /// All that use the session are said to be in our PID namespace, or in one that can be seen
    /// from here.
    pub(crate) assume_local: bool,
}

/// Judges the owner named by `claim`.
pub(crate) fn judge(claim: &Claim, facts: &impl Facts, now: Timestamp, limits: Limits) -> Verdict {
    let (outcome, reason, elsewhere) = weigh(claim, facts, limits.assume_local);
    let reasons = reason.into_iter().chain(remark_on_age(claim, now, limits.too_old)).collect();
    Verdict { outcome, elsewhere, reasons }
}

/// An outcome and its reason.
type Weighed = (Outcome, Option<Reason>);

const ALIVE: Weighed = (Outcome::Alive, None);

fn dead(reason: Reason) -> Weighed {
    (Outcome::Dead, Some(reason))
}

/// Weighs the evidence of all PID namespaces, ours first. The third is the id of an owner that
/// lives in another one.
fn weigh(
    claim: &Claim,
    facts: &impl Facts,
    assume_local: bool,
) -> (Outcome, Option<Reason>, Option<i32>) {
    // What this process knows of itself is certain, whatever is written in the file.
    if facts.held_here() {
        return (Outcome::Alive, None, None);
    }
    let PidClaim::Pid(pid) = claim.pid else {
        return (Outcome::Nobody, Some(Reason::MissingPid), None);
    };
    let (outcome, reason) = weigh_here(claim, pid, facts);
    if outcome == Outcome::Alive {
        return (outcome, reason, None);
    }
    match facts.elsewhere(claim, &|namesake| lives_as(claim, namesake, facts)) {
        Elsewhere::Lives(namesake) => (Outcome::Alive, None, Some(namesake)),
        Elsewhere::Unseen if !assume_local && !is_of_the_past(claim, pid, facts) => {
            (Outcome::Unseen, Some(Reason::UnseenNamespace), None)
        }
        Elsewhere::Nowhere | Elsewhere::Unseen => (outcome, reason, None),
    }
}

/// Weighs the evidence of our own PID namespace, in its order.
fn weigh_here(claim: &Claim, pid: i32, facts: &impl Facts) -> Weighed {
    if pid == facts.own_pid() {
        return weigh_own(claim, pid, facts);
    }
    if let ProcessState::Gone | ProcessState::Zombie = facts.state(pid) {
        return dead(Reason::DeadPid);
    }
    match compare_start(claim.start_time, pid, facts) {
        Started::Gone => dead(Reason::DeadPid),
        Started::AtAnotherTime => dead(Reason::RecycledPid),
        Started::AsRecorded | Started::Unseen => ALIVE,
        Started::NotRecorded => guess(claim, pid, facts),
    }
}

/// Weighs a record with our own id, of a lock that no turn of this process holds.
///
/// Another library in this process may hold it. Otherwise an earlier process with the same id left
/// it, as in a container that was restarted.
fn weigh_own(claim: &Claim, pid: i32, facts: &impl Facts) -> Weighed {
    match (claim.start_time, facts.own_start_time()) {
        (Some(recorded), Some(own)) if recorded == own => ALIVE,
        (Some(_), Some(_)) => dead(Reason::RecycledPid),
        _ if is_before(claim, facts.started_at(pid)) => dead(Reason::OrphanSelfPid),
        // It was made since this process began, and does not tell who made it.
        _ => (Outcome::Nobody, Some(Reason::OrphanSelfPid)),
    }
}

/// Whether the process with the id `namesake`, which has the recorded id in its own PID namespace,
/// is the owner and lives.
fn lives_as(claim: &Claim, namesake: i32, facts: &impl Facts) -> bool {
    if let ProcessState::Gone | ProcessState::Zombie = facts.state(namesake) {
        return false;
    }
    match compare_start(claim.start_time, namesake, facts) {
        Started::AsRecorded | Started::Unseen => true,
        Started::AtAnotherTime | Started::Gone => false,
        Started::NotRecorded => guess(claim, namesake, facts) == ALIVE,
    }
}

/// Whether the owner is dead although it cannot be looked for in all PID namespaces.
fn is_of_the_past(claim: &Claim, pid: i32, facts: &impl Facts) -> bool {
    // No process survives a boot.
    let before_boot = facts.boot_time().and_then(|boot| boot.checked_sub(SLACK).ok());
    if is_before(claim, before_boot) {
        return true;
    }
    match facts.state(pid) {
        ProcessState::Gone | ProcessState::Unknown => false,
        // The very process that is recorded, which is dead by the evidence of our own namespace.
        _ if claim.start_time.is_some() && start_of(pid, facts) == claim.start_time => true,
        _ => is_of_an_earlier_life(claim, pid, facts),
    }
}

/// The first process of a PID namespace, which ends with it.
const INIT: i32 = 1;

/// Whether an earlier life of this container left the record, whose pid a living process here has.
///
/// The record is older than our PID namespace then, and so is the owner. A container that is
/// started again runs the same programs with the same ids.
fn is_of_an_earlier_life(claim: &Claim, pid: i32, facts: &impl Facts) -> bool {
    if !facts.command_line(pid).is_some_and(|words| openclaw::is_called_agent(&words)) {
        return false;
    }
    let began = start_of(INIT, facts);
    // The start of a process is known to a clock tick.
    let ended = facts.started_at(INIT).and_then(|began| began.checked_add(TICK).ok());
    is_before(claim, ended)
        && claim.start_time.is_none_or(|start| began.is_some_and(|it| start < it))
}

fn start_of(pid: i32, facts: &impl Facts) -> Option<u64> {
    facts.start_time(pid).ok().flatten()
}

/// Whether the record is older than `time`, by its date.
fn is_before(claim: &Claim, time: Option<Timestamp>) -> bool {
    matches!((claim.created_at, time), (Some(created), Some(time)) if created < time)
}

/// The start time of the live process, compared with the recorded one.
enum Started {
    AsRecorded,
    AtAnotherTime,
    /// The process has ended since its state was read.
    Gone,
    /// It cannot be read.
    Unseen,
    /// Nothing was recorded, or nothing that can be compared.
    NotRecorded,
}

fn compare_start(recorded: Option<u64>, pid: i32, facts: &impl Facts) -> Started {
    let Some(recorded) = recorded else {
        return Started::NotRecorded;
    };
    match facts.start_time(pid) {
        Ok(Some(live)) if live == recorded => Started::AsRecorded,
        Ok(Some(_)) if facts.clock_unseen(pid) => Started::NotRecorded,
        Ok(Some(_)) => Started::AtAnotherTime,
        Ok(None) => Started::Gone,
        Err(_) => Started::Unseen,
    }
}

/// `createdAt` is read a little before it is written, and clocks are adjusted.
const SLACK: SignedDuration = SignedDuration::from_secs(2);
/// A clock tick, the unit of start times, is at most this long.
const TICK: SignedDuration = SignedDuration::from_millis(10);

/// Judges the record of an older program, which has no start time.
fn guess(claim: &Claim, pid: i32, facts: &impl Facts) -> Weighed {
    if let (Some(created), Some(started)) = (claim.created_at, facts.started_at(pid))
        && started.duration_since(created) > SLACK
    {
        return dead(Reason::RecycledPid);
    }
    match facts.command_line(pid) {
        Some(words) if !openclaw::is_agent(&words) => dead(Reason::NonOpenclawOwner),
        _ => ALIVE,
    }
}

fn remark_on_age(claim: &Claim, now: Timestamp, too_old: Duration) -> Option<Reason> {
    let Some(created) = claim.created_at else {
        return Some(Reason::InvalidCreatedAt);
    };
    // A limit too large for the type is no limit.
    let limit = SignedDuration::try_from(too_old).unwrap_or(SignedDuration::MAX);
    (now.duration_since(created) > limit).then_some(Reason::TooOld)
}
