//! Judging the owner of a *foreign* record. The program that wrote it takes no kernel lock, so only
//! process id, start time and command line can tell whether it lives.
//!
//! Certain evidence comes first, and guesses come last. What cannot be read counts in favour of the
//! owner: to take a lock from a living process costs a session's data, to respect a dead one costs
//! a wait. Age is reported and decides nothing (I13).

mod facts;
mod known;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub(crate) use facts::{Facts, Processes};
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
    /// First the reason for [`Outcome::Dead`] or [`Outcome::Nobody`], then what is only reported: a
    /// living owner may have [`Reason::TooOld`] or [`Reason::InvalidCreatedAt`] too.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// Whether the owner lives, as far as can be seen.
    pub(crate) fn alive(&self) -> bool {
        self.outcome == Outcome::Alive
    }
}

/// Judges the owner named by `claim`. An age of more than `too_old` is reported.
pub(crate) fn judge(
    claim: &Claim,
    facts: &impl Facts,
    now: Timestamp,
    too_old: Duration,
) -> Verdict {
    let (outcome, reason) = weigh(claim, facts);
    let reasons = reason.into_iter().chain(remark_on_age(claim, now, too_old)).collect();
    Verdict { outcome, reasons }
}

const ALIVE: (Outcome, Option<Reason>) = (Outcome::Alive, None);

fn dead(reason: Reason) -> (Outcome, Option<Reason>) {
    (Outcome::Dead, Some(reason))
}

/// Weighs the evidence, in its order.
fn weigh(claim: &Claim, facts: &impl Facts) -> (Outcome, Option<Reason>) {
    // What this process knows of itself is certain, whatever is written in the file.
    if facts.held_here() {
        return ALIVE;
    }
    let PidClaim::Pid(pid) = claim.pid else {
        return (Outcome::Nobody, Some(Reason::MissingPid));
    };
    if let ProcessState::Gone | ProcessState::Zombie = facts.state(pid) {
        return dead(Reason::DeadPid);
    }
    let started = compare_start(claim.start_time, pid, facts);
    match started {
        Started::Gone => dead(Reason::DeadPid),
        Started::AtAnotherTime => dead(Reason::RecycledPid),
        _ if pid == facts.own_pid() => dead(Reason::OrphanSelfPid),
        Started::AsRecorded | Started::Unseen => ALIVE,
        Started::NotRecorded => guess(claim, pid, facts),
    }
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

/// Judges the record of an older program, which has no start time.
fn guess(claim: &Claim, pid: i32, facts: &impl Facts) -> (Outcome, Option<Reason>) {
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
