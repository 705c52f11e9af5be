//! What a lock's report says, in words without control characters.

use std::time::Duration;

use turnlock::{LockReport, LockState, Reason};

use crate::output;

/// The fields of a line in a pipe.
pub(super) fn fields(report: &LockReport) -> [String; 6] {
    let fields = [
        report.session().display().to_string(),
        state(report),
        pid(report),
        host(report).unwrap_or_default(),
        label(report),
        since(report),
    ];
    fields.map(|field| output::printable(&field))
}

/// The process id here of who holds it.
pub(super) fn pid(report: &LockReport) -> String {
    let pid = report.holder.as_ref().and_then(|holder| holder.host_pid.or(holder.pid));
    pid.map(|pid| pid.to_string()).unwrap_or_default()
}

/// The container of who holds it, else the host.
pub(super) fn host(report: &LockReport) -> Option<String> {
    let holder = report.holder.as_ref()?;
    holder.container.clone().or(holder.host.clone())
}

pub(super) fn label(report: &LockReport) -> String {
    report.holder.as_ref().and_then(|holder| holder.label.clone()).unwrap_or_default()
}

pub(super) fn since(report: &LockReport) -> String {
    let since = report.holder.as_ref().and_then(|holder| holder.since);
    since.map(output::moment).unwrap_or_default()
}

/// How long ago the hold began, in at most two units.
pub(super) fn age(report: &LockReport) -> String {
    let age = report.holder.as_ref().and_then(|holder| holder.age());
    age.map(|age: Duration| output::age(age) + " ago").unwrap_or_default()
}

/// The state in a word.
pub(super) fn state_word(state: LockState) -> &'static str {
    match state {
        LockState::Held => "held",
        LockState::Foreign => "foreign",
        LockState::Stale => "stale",
        LockState::Fresh => "fresh",
        LockState::Remote => "remote",
        LockState::Unseen => "unseen",
        LockState::Unreadable => "unreadable",
        _ => "unknown",
    }
}

/// The state and its reasons.
pub(super) fn state(report: &LockReport) -> String {
    let is_ours = report.reasons.iter().all(|reason| left_by_ours(*reason));
    let word = match report.state {
        LockState::Stale if is_ours => "waiting to be taken over",
        state => state_word(state),
    };
    let mut reasons: Vec<_> = report.reasons.iter().map(Reason::to_string).collect();
    reasons.extend(report.error.clone());
    if reasons.is_empty() { word.into() } else { format!("{word} ({})", reasons.join(", ")) }
}

/// Whether the kernel's lock alone proves that the holder is gone.
fn left_by_ours(reason: Reason) -> bool {
    matches!(reason, Reason::DeadOwner | Reason::OtherBoot)
}
