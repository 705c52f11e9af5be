//! What is wrong with the links between the records of a session, as findings. None of it is put
//! right: what is missing cannot be recovered, and which of two records counts is for a person to
//! say.

use std::fmt;

use serde::Serialize;

use super::finding::{Problem, Treatment, plural};
use crate::transcript::graph::{Found, Report};

/// Records whose parent is not in the session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Chain {
    /// The number of such records.
    pub orphans: u64,
    /// The id of the first of them.
    pub first: Option<String>,
    /// Its line number, if known.
    pub first_line: Option<u64>,
    /// The missing parent that it names.
    pub missing: Option<String>,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} record{} without a parent: ", self.orphans, plural(self.orphans))?;
        if let Some(line) = self.first_line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "{} names {}", shown(self.first.as_deref()), shown(self.missing.as_deref()))
    }
}

/// What is wrong with several records, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Occurrences {
    /// The number of such records.
    pub count: u64,
    /// What tells the first of them: its id, the kind of value that it is, the session that it
    /// names, or the call that it makes.
    pub first: Option<String>,
    /// Its line number, if known.
    pub first_line: Option<u64>,
}

impl Occurrences {
    fn of(found: Found) -> Self {
        Self { count: found.count, first: found.first, first_line: found.line }
    }

    /// `3 records with …, the first in line 7: id`. What they are is told of one and of many.
    pub(super) fn tell(&self, [one, many]: [&str; 2], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.count == 1 { one } else { many };
        write!(f, "{} record{} {what}", self.count, plural(self.count))?;
        match self.first_line {
            Some(line) if self.count > 1 => write!(f, ", the first in line {line}")?,
            Some(line) => write!(f, ", in line {line}")?,
            None => {}
        }
        self.first.as_deref().map_or(Ok(()), |first| write!(f, ": {}", shown(Some(first))))
    }
}

fn shown(text: Option<&str>) -> String {
    crate::error::printable(text.unwrap_or("without id"))
}

/// The findings about the links.
pub(super) fn problems(report: Report) -> Vec<(Problem, Treatment)> {
    let Report { headers, orphans, missing, duplicates, repeated, cycles, .. } = report;
    let Report { values, strangers, calls, unchecked, .. } = report;
    let mut problems = Vec::new();
    let mut add = |count: u64, problem, reason| {
        if count > 0 {
            problems.push((problem, Treatment::report(reason)));
        }
    };
    let (more, first_line) = (headers.count, headers.line);
    add(
        more,
        Problem::DuplicateHeader { more, first_line },
        "a person must decide which of them counts",
    );
    let Found { count: orphans, first, line: first_line } = orphans;
    let chain = Chain { orphans, first, first_line, missing };
    add(orphans, Problem::BrokenChain { chain }, "the missing records cannot be recovered");
    let count = cycles.count;
    add(
        count,
        Problem::ParentCycle { records: Occurrences::of(cycles) },
        "programs that follow it hang: a person must decide where it begins, and set that parent \
         to null",
    );
    let (count, records) = (duplicates.count, Occurrences::of(duplicates));
    add(
        count,
        Problem::DuplicateId { records, repeated },
        "a person must decide which of them counts",
    );
    let count = values.count;
    add(
        count,
        Problem::NotARecord { records: Occurrences::of(values) },
        "programs that read it may fail: take the line out by hand if it means nothing",
    );
    let count = strangers.count;
    add(
        count,
        Problem::MixedSessions { records: Occurrences::of(strangers) },
        "a person must decide where they belong",
    );
    let count = calls.count;
    add(
        count,
        Problem::ToolWithoutResult { records: Occurrences::of(calls) },
        "the result cannot be recovered",
    );
    if let Some(from_line) = unchecked {
        problems.push((Problem::PartlyChecked { from_line }, Treatment::None));
    }
    problems
}
