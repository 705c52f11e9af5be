//! The statistics of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::history::{History, Outcome, Turn};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Numbers {
    pub(super) seconds: f64,
    pub(super) turns: u64,
    pub(super) turns_per_second: f64,
    /// Acknowledged appends, including posts.
    pub(super) appends: u64,
    pub(super) posts: u64,
    /// Acknowledged lines.
    pub(super) lines: u64,
    pub(super) lines_per_second: f64,
    pub(super) foreign_turns: u64,
    /// From asking for a turn to its start.
    pub(super) wait: Option<Times>,
    /// From the kill of a holder to the turn of the next process, which was already waiting.
    pub(super) takeover: Option<Times>,
    /// The turns of the process with the fewest, and of that with the most. A process and its
    /// replacements count as one.
    pub(super) fewest_turns: u64,
    pub(super) most_turns: u64,
    pub(super) kills: u64,
    pub(super) stops: u64,
    pub(super) revocations: u64,
    pub(super) removals: u64,
    /// Session files that were cut, copied over or replaced.
    pub(super) changes: u64,
    /// Appends and rewrites of holders who were told of that.
    pub(super) told: u64,
    pub(super) rewrites: u64,
    /// Second names of lock files.
    pub(super) links: u64,
    pub(super) panics: u64,
    /// Turns whose holders learned that they had been lost.
    pub(super) lost_turns: u64,
    /// Acquires and appends given up half-way.
    pub(super) given_up: u64,
}

/// Times in microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

impl Times {
    fn of(times: impl Iterator<Item = u64>) -> Option<Self> {
        // Two runs do not agree in more than three digits.
        let mut histogram = Histogram::<u64>::new(3).ok()?;
        for nanos in times {
            // The histogram grows as needed.
            histogram.record(nanos / 1000).ok()?;
        }
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        })
    }
}

impl Numbers {
    /// `slots` are the slots of the children; see [`Run`](super::conductor::Run).
    pub(super) fn of(history: &History, time: Duration, slots: &[Option<u32>]) -> Self {
        let had = || history.turns.iter().filter(|turn| turn.acquired.is_some() && !turn.foreign());
        let acknowledged =
            || history.appends.iter().filter(|append| append.outcome == Outcome::Acknowledged);
        let mut by_slot: BTreeMap<u32, u64> =
            slots.iter().flatten().map(|slot| (*slot, 0)).collect();
        for turn in had() {
            if let Some(Some(slot)) = slots.get(turn.writer.child as usize) {
                *by_slot.entry(*slot).or_default() += 1;
            }
        }
        let (turns, lines) = (
            had().count() as u64,
            acknowledged().map(|append| u64::from(append.count)).sum::<u64>(),
        );
        Self {
            seconds: time.as_secs_f64(),
            turns,
            turns_per_second: turns as f64 / time.as_secs_f64(),
            appends: acknowledged().count() as u64,
            posts: acknowledged().filter(|append| append.turn.is_none()).count() as u64,
            lines,
            lines_per_second: lines as f64 / time.as_secs_f64(),
            foreign_turns: history.turns.iter().filter(|turn| turn.foreign()).count() as u64,
            wait: Times::of(had().filter_map(|turn| Some(turn.acquired? - turn.asked))),
            takeover: Times::of(takeovers(history).into_iter()),
            fewest_turns: by_slot.values().min().copied().unwrap_or(0),
            most_turns: by_slot.values().max().copied().unwrap_or(0),
            kills: history.kills.len() as u64,
            stops: history.stops.len() as u64,
            revocations: history
                .revocations
                .iter()
                .filter(|revocation| revocation.done.is_some())
                .count() as u64,
            removals: history.removals.iter().filter(|removal| removal.to.is_some()).count() as u64,
            changes: history.changes.len() as u64,
            told: history.turns.iter().map(|turn| turn.told.len() as u64).sum(),
            rewrites: history.rewrites,
            links: history.links,
            panics: history.panics,
            lost_turns: history.turns.iter().filter(|turn| turn.lost.is_some()).count() as u64,
            given_up: given_up(history),
        }
    }
}

fn given_up(history: &History) -> u64 {
    let acquires = history.turns.iter().filter(|turn| turn.gave_up).count();
    let appends = history.appends.iter().filter(|append| {
        append.outcome == Outcome::Unknown && !history.kills.contains_key(&append.writer.child)
    });
    (acquires + appends.count()) as u64
}

/// The times from the kill of a holder to the next turn on its session, if another process was
/// already waiting for that.
fn takeovers(history: &History) -> Vec<u64> {
    let mut begun: BTreeMap<(u16, u64), &Turn> = BTreeMap::new();
    for turn in &history.turns {
        if let Some(acquired) = turn.acquired {
            begun.insert((turn.session, acquired), turn);
        }
    }
    let killed_at = |turn: &Turn| {
        let killed = *history.kills.get(&turn.writer.child)?;
        let held = turn.acquired? < killed && turn.releasing.is_none() && turn.lost.is_none();
        held.then_some(killed)
    };
    let next = |turn: &Turn| {
        let killed = killed_at(turn)?;
        let ((_, acquired), next) =
            begun.range((turn.session, killed)..=(turn.session, u64::MAX)).next()?;
        (next.asked < killed && next.writer.child != turn.writer.child).then_some(acquired - killed)
    };
    history.turns.iter().filter_map(next).collect()
}
