//! Checks that a holder is told when the session file is not as it knew it.

use std::collections::HashMap;

use super::changes::Changes;
use super::holds::name;
use super::{Findings, Kind, Terms};
use crate::stress::changes::Way;
use crate::stress::history::{Append, Change, History, Outcome, Turn};
use crate::stress::line::{self, LineId};

pub(super) fn check(
    history: &History,
    changes: &[Changes<'_>],
    terms: Terms,
    findings: &mut Findings,
) {
    for turn in &history.turns {
        none_told_without_cause(turn, &changes[usize::from(turn.session)], findings);
    }
    let mut known: HashMap<usize, Known<'_>> = HashMap::new();
    for append in &history.appends {
        let Some(index) = append.turn else { continue };
        let (turn, changes) = (&history.turns[index], &changes[usize::from(append.session)]);
        let Some(acquired) = turn.acquired.filter(|_| !turn.foreign()) else { continue };
        let known = known.entry(index).or_insert_with(|| Known {
            at: acquired,
            last: None,
            saw_lines: changes.left_lines(turn.asked, acquired),
        });
        if let Some(what) = known.wrong(append, changes, terms) {
            let what = format!("{} {what}, and was not told", name(turn));
            findings.add(Kind::NotTold, Some(append.session), append.offset, what);
        }
        known.after(append);
    }
}

/// What a turn knows of the session file.
struct Known<'a> {
    /// A time after it was looked at last.
    at: u64,
    /// The turn's last append, whose lines it knows to be there.
    last: Option<&'a Append>,
    /// Whether it certainly saw lines. Who has seen none can lose none, and is told of nothing.
    saw_lines: bool,
}

impl<'a> Known<'a> {
    /// What is wrong with the turn's next append.
    fn wrong(&self, append: &Append, changes: &Changes<'_>, terms: Terms) -> Option<&'static str> {
        let offset = append.offset.filter(|_| append.outcome == Outcome::Acknowledged)?;
        let since = self.last.map_or(self.at, |last| last.begun);
        // To measure lines takes long.
        changes.within(since, append.ended).next()?;
        let end = |last: &Append| Some(last.offset? + length(last, terms));
        if self.last.and_then(end).is_some_and(|end| offset < end) {
            return Some("wrote before the end of its lines of before");
        }
        let mut changes = changes.within(self.at, append.begun);
        let replaced = changes.any(|change| is_replaced(change, self.at, append.begun));
        (replaced && self.saw_lines).then_some("wrote to another session file than before")
    }

    fn after(&mut self, append: &'a Append) {
        let last = match append.outcome {
            Outcome::Acknowledged => Some(append),
            Outcome::Told => None,
            _ => return,
        };
        *self = Self { at: append.ended, last, saw_lines: last.is_some() };
    }
}

/// Whether the file was certainly replaced between the two times.
fn is_replaced(change: &Change, from: u64, to: u64) -> bool {
    change.way == Way::Replace && from <= change.from && change.to <= to
}

fn length(append: &Append, terms: Terms) -> u64 {
    let ids = (append.first..append.first + u64::from(append.count))
        .map(|n| LineId { writer: append.writer, n });
    ids.map(|id| line::bytes(terms.seed, id).len() as u64).sum()
}

fn none_told_without_cause(turn: &Turn, changes: &Changes<'_>, findings: &mut Findings) {
    for &told in &turn.told {
        if changes.within(turn.asked, told).next().is_none() {
            let what = format!(
                "{} was told that the session file had changed, but nobody had changed it",
                name(turn)
            );
            findings.add(Kind::Failed, Some(turn.session), None, what);
        }
    }
}
