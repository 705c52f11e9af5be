//! The proof: reads the session files line by line, without the library, and compares them with the journals.
//!
//! What is proved, for each session file, in its own order:
//! - every acknowledged line is there exactly once, byte for byte, where the acknowledgement said, in its writer's order;
//! - what was never told of is there at most once, and whole, unless its writer was killed at it: then perhaps its beginning;
//! - what was refused is not there;
//! - the lines of a batch stand together, and no turn's lines lie inside another's (posts may);
//! - what was acknowledged before another append was begun stands before it;
//! - whoever lost the lock wrote nothing after that, and nobody loses it without a cause;
//! - no two turns certainly held at the same time.

mod file;
mod holds;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::history::{Append, History, Outcome};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// An acknowledged line is not in the file.
    LinesLost,
    /// A line is there twice.
    LinesTwice,
    /// Bytes that are no whole line, and not the beginning of one whose writer was killed.
    LinesTorn,
    /// A line stands elsewhere than its acknowledgement said.
    WrongOffset,
    /// The lines of a writer, or of a batch, are out of order.
    OutOfOrder,
    /// A line stands before one that was acknowledged before it was begun.
    TooEarly,
    /// Lines of one turn lie inside another.
    TurnsOverlap,
    /// Two turns held at the same time.
    TwoHolders,
    /// Something was written after the lock was lost.
    WrittenAfterLoss,
    /// A turn was lost that nobody had taken.
    LostWithoutCause,
    /// Somebody waited for ever, or nothing was done at all.
    Stuck,
    /// An operation failed that should not have, or a process died by itself.
    Failed,
}

/// All kinds, with what they are called in a report.
pub(super) const KINDS: [(Kind, &str); 12] = [
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
    (Kind::Stuck, "stuck"),
    (Kind::Failed, "unexpected failures"),
];

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Violation {
    pub(super) kind: Kind,
    pub(super) session: Option<u16>,
    /// Where in the session file.
    pub(super) offset: Option<u64>,
    /// What was found, and what was expected.
    pub(super) what: String,
}

/// Of each kind so many are kept in full; all are counted.
const KEPT: usize = 5;

/// What the check has found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) counts: BTreeMap<Kind, u64>,
    pub(super) first: Vec<Violation>,
    /// Whole lines in the files.
    pub(super) lines: u64,
    pub(super) bytes: u64,
    /// Lines whose writer was killed in the middle of them.
    pub(super) cut_by_kill: u64,
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

/// What the run was like, as far as it matters for what is promised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) seed: u64,
    /// Turns were taken from their holders: they may believe for a while that they still hold.
    pub(super) tampered: bool,
}

/// Compares the session files with what happened.
pub(super) fn check(
    history: &History,
    sessions: &[PathBuf],
    terms: Terms,
    findings: &mut Findings,
) -> io::Result<()> {
    for (session, path) in sessions.iter().enumerate() {
        file::check(history, session as u16, path, terms, findings)?;
    }
    holds::check(history, terms, findings);
    for append in &history.appends {
        failed(history, append, findings);
    }
    Ok(())
}

/// An append may fail because its turn was lost, which is looked at elsewhere, or because a program came between; not otherwise.
fn failed(history: &History, append: &Append, findings: &mut Findings) {
    let lost = append.turn.is_some_and(|turn| history.turns[turn].lost == Some(append.ended));
    let kind = match append.outcome {
        Outcome::Refused if !lost => Kind::Failed,
        Outcome::Overtaken
            if !history.removed_within(append.session, append.begun, append.ended) =>
        {
            Kind::LostWithoutCause
        }
        _ => return,
    };
    let what = format!("an append of {} was answered by {:?}", append.writer, append.outcome);
    findings.add(kind, Some(append.session), None, what);
}
