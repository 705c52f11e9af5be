//! Looking at a lock without taking its `flock`, so that nobody is disturbed.

use std::path::Path;

use uuid::Uuid;

use super::super::{LockState, Reason};
use super::judge::{Judgement, describe, judge_by, somebody_lives, verdict_by};
use super::record::{self, Reading, Record};
use super::verdict::{Known, Outcome};
use super::{Obstacle, Opened, open_to_look};
use crate::error::{Context, Holder, Result};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{Dir, Stat};

/// What was seen of a lock.
pub(crate) struct Seen {
    pub(crate) state: LockState,
    pub(crate) holder: Option<Holder>,
    /// Why it is stale; or what is remarkable about a lock that is held.
    pub(crate) reasons: Vec<Reason>,
}

/// The rules and the knowledge by which a lock is looked at.
pub(crate) struct Look<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) known: &'a Known,
    /// The owner of this process's own hold of the session, if it has one.
    pub(crate) own: Option<Uuid>,
}

/// Looks at the lock of a session; `None` if there is none. Errors call it `named`.
pub(crate) fn look(place: &Place, named: &Path, by: &Look<'_>) -> Result<Option<Seen>> {
    let (file, stat) = match open_to_look(place)? {
        Opened::File(file, stat) => (file, stat),
        Opened::None => return Ok(None),
        Opened::Denied(closed) => return Err(closed.into_error()).context("open", named),
    };
    let reading = record::read(file.file()).context("read", named)?;
    // Of a holder on another host, only a server that keeps the locks tells whether it lives.
    let cannot_be_told = by.rules.remote(place.dir()) && !by.rules.is_served(place.dir());
    let is_elsewhere = |record: &Record| cannot_be_told && !record.same_boot();
    // The record may name another owner: a turn of this process can be lost and not released yet.
    let is_ours = |record: &Record| by.own.is_some() && by.own == record.owner;
    let lives = |record: &Record| is_ours(record) || somebody_lives(place, file.file(), by.rules);
    Ok(Some(match &reading {
        Reading::Ours(record) if !is_elsewhere(record) && lives(record) => by.held(record),
        Reading::Foreign(record) => by.foreign(record, &reading, &stat, place.dir()),
        _ => by.judged(&reading, &stat, place.dir()),
    }))
}

/// A lock file that names an owner.
#[cfg(feature = "gateway")]
pub(crate) struct Named {
    pub(crate) record: Record,
    /// Whether a program wrote it that takes no kernel lock.
    pub(crate) foreign: bool,
    pub(crate) file: crate::sys::Pinned,
}

/// The record at a lock path, whoever wrote it; `None` if there is none.
#[cfg(feature = "gateway")]
pub(crate) fn read_record(place: &Place) -> Result<Option<Named>> {
    let Opened::File(file, _) = open_to_look(place)? else { return Ok(None) };
    let (record, foreign) = match record::read(file.file()).context("read", place.lock())? {
        Reading::Ours(record) => (record, false),
        Reading::Foreign(record) => (record, true),
        Reading::Spoiled | Reading::Malformed { .. } => return Ok(None),
    };
    Ok(Some(Named { record, foreign, file }))
}

impl Look<'_> {
    /// By the kernel's lock, a holder of this protocol lives. Its age is reported and decides
    /// nothing (I13).
    fn held(&self, record: &Record) -> Seen {
        let holder = record.holder(true, false);
        let is_too_old = holder.age().is_some_and(|age| age > self.rules.too_old);
        let reasons = if is_too_old { vec![Reason::TooOld] } else { Vec::new() };
        Seen { state: LockState::Held, holder: Some(holder), reasons }
    }

    fn foreign(&self, record: &Record, reading: &Reading, stat: &Stat, dir: &Dir) -> Seen {
        let facts = self.known.facts(self.own.is_some(), Some(stat.owner.number()));
        let verdict = verdict_by(record, &facts, self.rules);
        let state = match verdict.outcome {
            _ if self.rules.remote(dir) => None,
            Outcome::Alive => Some(LockState::Foreign),
            Outcome::Unseen => Some(LockState::Unseen),
            Outcome::Dead | Outcome::Nobody => None,
        };
        let Some(state) = state else { return self.judged(reading, stat, dir) };
        Seen { state, holder: Some(describe(record, &verdict)), reasons: verdict.reasons }
    }

    fn judged(&self, reading: &Reading, stat: &Stat, dir: &Dir) -> Seen {
        let holder = match reading {
            Reading::Ours(record) => Some(record.holder(false, false)),
            Reading::Foreign(record) => Some(record.holder(false, true)),
            Reading::Spoiled | Reading::Malformed { .. } => None,
        };
        match judge_by(
            reading,
            stat,
            dir,
            &self.known.facts(false, Some(stat.owner.number())),
            self.rules,
        ) {
            Judgement::Free(reasons) => Seen { state: LockState::Stale, holder, reasons },
            Judgement::Obstacle(Obstacle::Remote(record)) => {
                let holder = Some(record.holder_elsewhere());
                Seen { state: LockState::Remote, holder, reasons: Vec::new() }
            }
            Judgement::Obstacle(obstacle) => {
                Seen { state: state_of(&obstacle), holder, reasons: Vec::new() }
            }
        }
    }
}

fn state_of(obstacle: &Obstacle) -> LockState {
    match obstacle {
        Obstacle::Kernel { .. } => LockState::Held,
        Obstacle::Foreign => LockState::Foreign,
        Obstacle::Fresh => LockState::Fresh,
        Obstacle::Remote(_) => LockState::Remote,
        Obstacle::Unseen => LockState::Unseen,
        Obstacle::Closed => LockState::Unreadable,
    }
}
