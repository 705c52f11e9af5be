//! The proof. It reads the session files line by line, without the library, and compares them with
//! the journals.
//!
//! For each session file it proves:
//! - An acknowledged line is there exactly once, byte for byte, at the acknowledged offset, in its
//!   writer's order.
//! - A line of an unknown outcome is there at most once, and whole. If its writer was killed, only
//!   its beginning may be there.
//! - A refused line is not there.
//! - The lines of a batch are adjacent. No line of a turn lies inside another turn; posts may.
//! - An append acknowledged before another began stands before it.
//! - No holder wrote after it lost the lock, and none lost it without a cause.
//! - No two turns certainly held at the same time.
//! - A turn that goes on after the session file was cut or replaced has been told of that.
//!
//! Where a foreign program cuts or replaces the session file, lines are lost by its doing: those
//! behind what it has kept, if they were begun before it was done. A line that it has cut in its
//! middle ends exactly where its cut ended the file.

mod changes;
mod file;
mod holds;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::history::{Append, History, Outcome};
use changes::Changes;

/// The kind of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// An acknowledged line is not in the file.
    LinesLost,
    /// A line is in the file twice.
    LinesTwice,
    /// Bytes that are neither a whole line nor the beginning of one whose writer was killed.
    LinesTorn,
    /// A line is not at its acknowledged offset.
    WrongOffset,
    /// The lines of a writer, or of a batch, are out of order.
    OutOfOrder,
    /// A line stands before a line that was acknowledged before it was begun.
    TooEarly,
    /// Lines of one turn lie inside another.
    TurnsOverlap,
    /// Two turns held at the same time.
    TwoHolders,
    /// A line was written after the lock was lost.
    WrittenAfterLoss,
    /// A turn was lost, though nobody took it.
    LostWithoutCause,
    /// A turn wrote to a session file that was cut or replaced, and was not told.
    NotTold,
    /// A process or a task waited in vain, or there was no turn at all.
    Stuck,
    /// An operation failed without a reason, or a process ended by itself.
    Failed,
}

/// All kinds, with their names in a report.
pub(super) const KINDS: [(Kind, &str); 13] = [
    (Kind::LinesLost, "acknowledged lines lost"),
    (Kind::LinesTwice, "lines written twice"),
    (Kind::LinesTorn, "torn lines"),
    (Kind::WrongOffset, "lines elsewhere than acknowledged"),
    (Kind::OutOfOrder, "lines out of order"),
    (Kind::TooEarly, "lines before what was acknowledged earlier"),
    (Kind::TurnsOverlap, "turns overlapping in the file"),
    (Kind::TwoHolders, "two holders at once"),
    (Kind::WrittenAfterLoss, "lines written after losing the lock"),
    (Kind::LostWithoutCause, "locks lost without a cause"),
    (Kind::NotTold, "appends to a changed session without a word"),
    (Kind::Stuck, "stuck"),
    (Kind::Failed, "unexpected failures"),
];

/// One violation.
#[derive(Debug, Serialize)]
pub(super) struct Violation {
    pub(super) kind: Kind,
    pub(super) session: Option<u16>,
    /// The place in the session file.
    #[serde(rename = "offsetBytes")]
    pub(super) offset: Option<u64>,
    /// A description of what was found, and what was expected.
    pub(super) what: String,
}

/// The number of violations of each kind that are kept in full. All are counted.
const KEPT: usize = 5;

/// The result of the check.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) counts: BTreeMap<Kind, u64>,
    pub(super) first: Vec<Violation>,
    /// Whole lines in the files.
    pub(super) lines: u64,
    pub(super) bytes: u64,
    /// Lines whose writer was killed while it wrote them.
    pub(super) cut_by_kill: u64,
    /// Lines that a foreign program has cut in their middle.
    pub(super) cut_by_others: u64,
    /// Acknowledged lines that a foreign program has cut off, or written over.
    pub(super) lost_to_others: u64,
}

impl Findings {
    pub(super) fn add(
        &mut self,
        kind: Kind,
        session: Option<u16>,
        offset: Option<u64>,
        what: String,
    ) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= KEPT as u64 {
            self.first.push(Violation { kind, session, offset, what });
        }
    }

    pub(super) fn violations(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The facts about a run that decide what must hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) seed: u64,
    /// Turns were taken from their holders, which may believe for a while that they still hold.
    pub(super) tampered: bool,
}

/// Compares the session files with the history.
pub(super) fn check(
    history: &History,
    sessions: &[PathBuf],
    terms: Terms,
    findings: &mut Findings,
) -> io::Result<()> {
    for (session, path) in sessions.iter().enumerate() {
        file::check(history, session as u16, path, terms, findings)?;
    }
    let changes: Vec<_> =
        (0..sessions.len()).map(|session| Changes::of(history, session as u16)).collect();
    holds::check(history, &changes, terms, findings);
    told::check(history, &changes, terms, findings);
    for append in &history.appends {
        failed(history, &changes[usize::from(append.session)], append, findings);
    }
    Ok(())
}

/// An append may fail because its turn was lost or told of a change, or because a program wrote
/// during it. The causes of the former are checked in [`holds`] and [`told`].
fn failed(history: &History, changes: &Changes<'_>, append: &Append, findings: &mut Findings) {
    let turn = append.turn.map(|turn| &history.turns[turn]);
    let lost = turn.is_some_and(|turn| turn.lost == Some(append.ended));
    let kind = match append.outcome {
        Outcome::Refused if !lost => Kind::Failed,
        // Only a turn knows the file of before, and can be told.
        Outcome::Told if turn.is_none() => Kind::Failed,
        Outcome::Overtaken
            if !history.removed_within(append.session, append.begun, append.ended)
                && !changes.can_have_overtaken(append.begun, append.ended) =>
        {
            Kind::LostWithoutCause
        }
        _ => return,
    };
    let what = format!("an append of {} was answered by {:?}", append.writer, append.outcome);
    findings.add(kind, Some(append.session), None, what);
}
