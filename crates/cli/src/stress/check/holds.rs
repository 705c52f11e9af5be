//! Checks who held when, by the clock that all processes share.

use std::collections::HashMap;

use super::changes::Changes;
use super::{Findings, Kind, Terms};
use crate::stress::history::{History, Removal, Turn};

pub(super) fn check(
    history: &History,
    changes: &[Changes<'_>],
    terms: Terms,
    findings: &mut Findings,
) {
    never_two(history, terms, findings);
    none_survives_a_removal(history, findings);
    none_survives_a_revoke(history, findings);
    none_lost_without_cause(history, changes, findings);
    none_timed_out(history, findings);
}

pub(super) fn name(turn: &Turn) -> String {
    let kind = if turn.foreign() { "foreign turn" } else { "turn" };
    format!("a {kind} of {}", turn.writer)
}

/// The time in which a turn certainly held: from its start to its release. Where turns are taken
/// away, to the start of its last acknowledged append.
fn certain(turn: &Turn, terms: Terms) -> Option<(u64, u64)> {
    let released = turn.releasing.filter(|_| !terms.tampered && turn.lost.is_none());
    (!turn.unprotected).then_some((turn.acquired?, turn.wrote.max(released)?))
}

fn never_two(history: &History, terms: Terms, findings: &mut Findings) {
    let mut held: Vec<_> = history
        .turns
        .iter()
        .filter_map(|turn| certain(turn, terms).map(|time| (turn.session, time, turn)))
        .collect();
    held.sort_unstable_by_key(|(session, time, _)| (*session, *time));
    let mut latest: Option<(u16, u64, &Turn)> = None;
    for (session, (from, to), turn) in held {
        match latest {
            Some((same, end, other)) if same == session && from < end => {
                let ms = (end - from) as f64 / 1e6;
                let what =
                    format!("{} began {ms:.3} ms before {} had ended", name(turn), name(other));
                findings.add(Kind::TwoHolders, Some(session), None, what);
            }
            _ => {}
        }
        if latest.is_none_or(|(same, end, _)| same != session || end < to) {
            latest = Some((session, to, turn));
        }
    }
}

/// A turn holds only while its lock file is at its path. Removing the file takes the turn.
fn none_survives_a_removal(history: &History, findings: &mut Findings) {
    let mut done: HashMap<u16, Vec<(u64, u64)>> = HashMap::new();
    for Removal { session, from, to, .. } in &history.removals {
        if let Some(to) = to {
            done.entry(*session).or_default().push((*from, *to));
        }
    }
    for turn in history.turns.iter().filter(|turn| !turn.foreign()) {
        let (Some(acquired), Some(wrote), Some(done)) =
            (turn.acquired, turn.wrote, done.get(&turn.session))
        else {
            continue;
        };
        let next = done.partition_point(|(from, _)| *from <= acquired);
        if done.get(next).is_some_and(|(_, to)| *to < wrote) {
            let what = format!("{} wrote after its lock file was removed", name(turn));
            findings.add(Kind::WrittenAfterLoss, Some(turn.session), None, what);
        }
    }
}

fn none_survives_a_revoke(history: &History, findings: &mut Findings) {
    let done = |revocation: &crate::stress::history::Revocation| {
        Some((revocation.owner, revocation.done?.0))
    };
    let revoked: HashMap<u128, u64> = history.revocations.iter().filter_map(done).collect();
    for turn in history.turns.iter().filter(|turn| !turn.foreign()) {
        if let (Some(wrote), Some(revoked)) = (turn.wrote, revoked.get(&turn.owner))
            && wrote > *revoked
        {
            let what = format!(
                "{} was revoked, and began an append after that which was acknowledged",
                name(turn)
            );
            findings.add(Kind::WrittenAfterLoss, Some(turn.session), None, what);
        }
    }
}

fn none_lost_without_cause(history: &History, changes: &[Changes<'_>], findings: &mut Findings) {
    let revoked: std::collections::HashSet<u128> =
        history.revocations.iter().map(|revoked| revoked.owner).collect();
    for turn in &history.turns {
        let Some(lost) = turn.lost else { continue };
        // Its last append, or its rewrite, was overtaken by whoever changed the session file.
        let changes = &changes[usize::from(turn.session)];
        let changed = |from| changes.can_have_overtaken(from, lost);
        if !revoked.contains(&turn.owner)
            && !history.removed_within(turn.session, turn.asked, lost)
            && !changes.can_have_removed(turn.asked, lost)
            && !turn.overtaken_from.is_some_and(changed)
        {
            let what = format!(
                "{} was lost, but nobody had revoked it or removed its lock file",
                name(turn)
            );
            findings.add(Kind::LostWithoutCause, Some(turn.session), None, what);
        }
    }
}

fn none_timed_out(history: &History, findings: &mut Findings) {
    for turn in &history.turns {
        if let Some(at) = turn.timed_out {
            let seconds = (at - turn.asked) as f64 / 1e9;
            let what = format!("{} was waited for in vain for {seconds:.1} s", name(turn));
            findings.add(Kind::Stuck, Some(turn.session), None, what);
        }
    }
}
