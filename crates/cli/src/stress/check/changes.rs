//! What a foreign program that cuts or replaces a session file can be blamed for.

use std::collections::BTreeMap;

use crate::stress::changes::Way;
use crate::stress::history::{Append, Change, History};

/// The time within which a process that goes on ends the section in which it was stopped.
const WAKING: u64 = 1_000_000_000;
/// The time for which a process may have to wait for a processor in a section.
const PREEMPTED: u64 = 100_000_000;

/// The changes of one session file, in order.
pub(super) struct Changes<'a> {
    all: Vec<&'a Change>,
    /// The least that was kept by each change or a later one.
    least: Vec<u64>,
    /// The cuts, by what they kept.
    cuts: BTreeMap<u64, Vec<&'a Change>>,
    /// When turns began, in order.
    acquired: Vec<u64>,
    /// The times in which a process may have been in a section on a file that was replaced, though
    /// a turn had begun on the new one.
    stalled: Vec<(u64, u64)>,
}

impl<'a> Changes<'a> {
    pub(super) fn of(history: &'a History, session: u16) -> Self {
        let all: Vec<_> =
            history.changes.iter().filter(|change| change.session == session).collect();
        let mut least: Vec<_> = all.iter().map(|change| change.kept).collect();
        for at in (1..least.len()).rev() {
            least[at - 1] = least[at - 1].min(least[at]);
        }
        let mut cuts: BTreeMap<u64, Vec<&Change>> = BTreeMap::new();
        for &change in all.iter().filter(|change| change.way == Way::Cut) {
            cuts.entry(change.kept).or_default().push(change);
        }
        let turns = history.turns.iter().filter(|turn| turn.session == session);
        let mut acquired: Vec<_> = turns.filter_map(|turn| turn.acquired).collect();
        acquired.sort_unstable();
        let mut changes = Self { all, least, cuts, acquired, stalled: Vec::new() };
        let stops = history.stops.iter().filter_map(|stop| Some((stop.from, stop.to?)));
        let stalled = stops.filter(|&(from, to)| changes.may_stall(from, to));
        let stalled = stalled.map(|(from, to)| (from, to + WAKING));
        // The next turn begins beside the section only if the lock file was taken away.
        let replaced = changes.all.iter().filter(|change| change.way == Way::Replace);
        let preempted = replaced
            .map(|change| (change.from, change.to.saturating_add(PREEMPTED)))
            .filter(|&(from, to)| history.taken_within(session, from, to));
        changes.stalled = stalled.chain(preempted).collect();
        changes
    }

    /// Whether a process that was stopped in this time may have been in a section on a file that
    /// was replaced before it went on.
    fn may_stall(&self, from: u64, to: u64) -> bool {
        let replaced = |change: &Change| change.way == Way::Replace;
        self.within(from, to).any(replaced) || self.old_section_may_go_on(from)
    }

    /// Whether a section on a replaced file may go on at this time, though no process was stopped.
    /// When the next turn begins, it is over.
    fn old_section_may_go_on(&self, time: u64) -> bool {
        let before = self.all[..self.first_after(time)].iter();
        let replaced = before.rev().find(|change| change.way == Way::Replace);
        replaced.is_some_and(|change| {
            let next = self.acquired.partition_point(|acquired| *acquired <= change.to);
            self.acquired.get(next).is_none_or(|next| *next > time)
        })
    }

    /// The first change that was not over at this time.
    fn first_after(&self, time: u64) -> usize {
        self.all.partition_point(|change| change.to <= time)
    }

    /// The changes that were under way in this time, or all of it.
    pub(super) fn within(&self, from: u64, to: u64) -> impl Iterator<Item = &'a Change> {
        let later = self.all[self.first_after(from)..].iter();
        later.take_while(move |change| change.from < to).copied()
    }

    /// Whether the file certainly had lines all through this time.
    pub(super) fn left_lines(&self, from: u64, to: u64) -> bool {
        let before = self.all[..self.first_after(from)].last();
        before.is_some_and(|change| change.kept > 0) && self.within(from, to).next().is_none()
    }

    /// Whether a change can have overtaken an append of this time. If the file was replaced, a
    /// section on the old one may go on, and end a turn beside the append.
    pub(super) fn can_have_overtaken(&self, begun: u64, ended: u64) -> bool {
        self.within(begun, ended).next().is_some()
            || self.old_section_may_go_on(begun)
            || self.can_have_removed(begun, ended)
    }

    /// Whether a process that paused between its last look at its own lock file and the removal can
    /// have removed the lock file of somebody else in this time. The data lock of the old file
    /// excludes nobody from the new one.
    pub(super) fn can_have_removed(&self, from: u64, to: u64) -> bool {
        self.stalled.iter().any(|stalled| stalled.0 < to && stalled.1 > from)
    }

    /// Whether a change can have lost the line of this append that ended at `end` in the file:
    /// what was kept is shorter, and the append was begun before the change was over. Where the
    /// writer does not know the place of its line, the time has to do.
    pub(super) fn can_have_lost(&self, append: &Append, end: Option<u64>) -> bool {
        let first = self.first_after(append.begun);
        let Some(least) = self.least.get(first) else { return false };
        end.is_none_or(|end| *least < end) || self.can_have_overwritten(append)
    }

    /// A copy empties the file before it writes. A line that is written in between is at the
    /// beginning, and what is copied is written over it.
    pub(super) fn can_have_overwritten(&self, append: &Append) -> bool {
        let mut changes = self.within(append.begun, append.ended);
        changes.any(|change| change.way == Way::Copy)
    }

    /// Whether a cut ended the file at `end`, in the middle of a line, after that was begun.
    pub(super) fn cut_off(&self, end: u64, begun: u64) -> bool {
        let cuts = self.cuts.get(&end);
        cuts.into_iter().flatten().any(|cut| cut.to > begun)
    }

    /// The places inside a range at which a cut ended the file.
    pub(super) fn cuts_inside(&self, range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        self.cuts.range(range).map(|(&kept, _)| kept)
    }

    /// Whether a change ended the file here. A seal for what was cut off may follow.
    pub(super) fn ended_at(&self, offset: u64) -> bool {
        self.all.iter().any(|change| change.kept == offset)
    }

    /// Copies that ended here. Lines that they have not wholly overwritten may go on behind.
    pub(super) fn copies_to(&self, offset: u64) -> impl Iterator<Item = &'a Change> {
        let copies = self.all.iter().filter(|change| change.way == Way::Copy);
        copies.filter(move |change| change.kept == offset).copied()
    }
}
