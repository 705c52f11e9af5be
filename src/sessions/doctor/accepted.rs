//! Findings that an operator has accepted: they are told, and do not remain.

use std::fs::File;

use serde_json::Value;

use super::finding::{Finding, Treatment};
use crate::datafile::accepted::{self, Accepted};
use crate::place::Place;
use crate::transcript::quarantine::now;

/// Whether a finding is one that can only be reported.
pub(super) fn can_be_accepted(finding: &Finding) -> bool {
    matches!(finding.treatment, Treatment::Report { .. })
}

/// Marks those of the findings that were accepted before. With `accept`, accepts the others, of
/// those that are only reported.
pub(super) fn mark(place: &Place, session: &File, findings: &mut [Finding], accept: bool) {
    let before = accepted::read(place, session);
    let time = now();
    let mut new = Vec::new();
    let mut added: Vec<&mut Finding> = Vec::new();
    for finding in findings.iter_mut().filter(|finding| can_be_accepted(finding)) {
        let Some(key) = key(finding) else { continue };
        if let Some(known) = before.iter().find(|known| known.accepted == key) {
            finding.treatment = Treatment::Accepted { accepted_at: known.time.clone() };
        } else if accept {
            new.push(Accepted { accepted: key, time: time.clone() });
            added.push(finding);
        }
    }
    if new.is_empty() {
        return;
    }
    let noted = accepted::add(place, session, &new);
    for finding in added {
        finding.treatment = match &noted {
            Ok(()) => Treatment::Accepted { accepted_at: time.clone() },
            Err(error) => Treatment::Failed { error: error.to_string() },
        };
    }
}

/// What tells a finding from others. The same finding one line further down is the same, and one
/// more record with it is another.
fn key(finding: &Finding) -> Option<Value> {
    let mut problem = serde_json::to_value(&finding.problem).ok()?;
    problem.as_object_mut()?.retain(|name, _| !name.to_lowercase().ends_with("line"));
    Some(problem)
}
