//! Findings as plain lines for pipes, in the words of OpenClaw's own doctor where it has some.

use std::fmt::Write;

use turnlock::doctor::{Examination, Finding, Problem, Treatment};
use turnlock::{Holder, LockReport};

use super::count;
use crate::output::{self, printable};

/// The findings, in sections.
pub(super) fn show(examination: &Examination) -> String {
    let mut text = String::new();
    let locks = select(examination, |problem| matches!(problem, Problem::Lock(_)));
    section(&mut text, &locks, "session lock file");
    let transcripts =
        select(examination, |problem| matches!(problem, Problem::DamagedTranscript { .. }));
    section(&mut text, &transcripts, "damaged transcript");
    let others = select(examination, |problem| {
        !matches!(problem, Problem::Lock(_) | Problem::DamagedTranscript { .. })
    });
    section(&mut text, &others, "other finding");
    text
}

fn select(examination: &Examination, which: impl Fn(&Problem) -> bool) -> Vec<&Finding> {
    examination.findings.iter().filter(|finding| which(&finding.problem)).collect()
}

fn section(text: &mut String, findings: &[&Finding], what: &str) {
    if findings.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "Found {}.", count(findings.len(), what));
    for finding in findings {
        let _ = writeln!(text, "- {}", line(finding));
    }
}

fn line(finding: &Finding) -> String {
    let path = printable(&finding.path.display().to_string());
    let facts = match &finding.problem {
        Problem::Lock(report) => lock(report),
        other => printable(&format!("{}: {other}", other.name())),
    };
    match &finding.treatment {
        Treatment::None => format!("{path} {facts}"),
        treatment => format!("{path} {facts} [{}]", printable(&treatment.to_string())),
    }
}

/// `pid=P (alive|dead) age=17s stale=yes (reasons)`
fn lock(report: &LockReport) -> String {
    let holder = report.holder.as_ref();
    let pid = holder
        .and_then(|holder| holder.host_pid.or(holder.pid))
        .map_or("missing".to_owned(), |pid| pid.to_string());
    let alive = match holder {
        Some(holder) if holder.unseen || holder.hidden.is_some() => "unknown",
        Some(holder) if holder.alive => "alive",
        Some(_) => "dead",
        None => "unknown",
    };
    let age = holder.and_then(|holder| holder.age());
    let age = age.map_or("unknown".to_owned(), output::age);
    let stale = if report.state == turnlock::LockState::Stale { "yes" } else { "no" };
    let mut text = format!("pid={pid} ({alive}) age={age} stale={stale}");
    if !report.reasons.is_empty() {
        let reasons: Vec<_> = report.reasons.iter().map(ToString::to_string).collect();
        let _ = write!(text, " ({})", reasons.join(", "));
    }
    if let Some(Holder { pid: Some(there), host_pid: Some(_), container, .. }) = holder {
        let place = container.as_deref().unwrap_or("another PID namespace");
        let _ = write!(text, " in {} (pid {there} there)", printable(place));
    }
    if let Some(label) = holder.and_then(|holder| holder.label.as_ref()) {
        let _ = write!(text, " label=\"{}\"", printable(label));
    }
    if let Some(error) = &report.error {
        let _ = write!(text, " error: {}", printable(error));
    }
    text
}
