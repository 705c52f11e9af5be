//! What a doctor finds, and what becomes of it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::lineage::Chain;
use crate::error::Holder;
use crate::sessions::sweep::leftover::Leftover;
use crate::sessions::sweep::{LockReport, LockState, lossy};
use crate::transcript::repair::Survey;

/// One thing that is wrong, or worth a remark.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// Where.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// What.
    pub problem: Problem,
    /// What becomes of it.
    pub treatment: Treatment,
}

/// What is wrong.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Problem {
    /// A lock: stale, held, foreign, fresh, of another host, or not to be looked at.
    Lock(LockReport),
    /// Left behind by work that did not come to its end.
    Leftover {
        /// What it was to become.
        leftover: Leftover,
    },
    /// A session file with damaged lines.
    DamagedTranscript {
        /// What is wrong with it, in numbers.
        survey: Survey,
    },
    /// A session file with more than one header.
    DuplicateHeader {
        /// How many there are besides the first line's.
        more: u64,
        /// The number of the first of them, where it is known.
        first_line: Option<u64>,
    },
    /// Records whose `parentId` names no record before them: readers that follow the chain lose what is before the break.
    BrokenChain {
        /// How many, and the first.
        #[serde(flatten)]
        chain: Chain,
    },
    /// A session file that cannot be read, or is no file at all.
    UnreadableTranscript {
        /// Why.
        error: String,
    },
    /// A directory that cannot be read, or that is a link to somewhere else.
    UnreadableDirectory {
        /// Why.
        error: String,
    },
    /// A directory on a filesystem that does not keep locks.
    LocksNotKept {
        /// Which mount, and why.
        reason: String,
    },
    /// A file that its owner cannot use, or that everybody can write to.
    WrongMode {
        /// Its mode.
        #[serde(serialize_with = "octal")]
        mode: u32,
        /// What it should be.
        #[serde(serialize_with = "octal")]
        right: u32,
    },
}

/// What becomes of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Treatment {
    /// Nothing is wrong with it; it is told for completeness' sake.
    None,
    /// It is reported, and is left to people: why.
    Report {
        /// Why nothing is done about it.
        reason: String,
    },
    /// What a doctor that is to fix things would do.
    Would {
        /// The remedy.
        remedy: Remedy,
    },
    /// It was put right.
    Done {
        /// The remedy.
        remedy: Remedy,
        /// What was done, in numbers.
        note: Option<String>,
    },
    /// It was left alone, because somebody holds it: another time.
    Kept {
        /// Who, and what they do.
        reason: String,
        /// Who, where that is known.
        holder: Option<Box<Holder>>,
    },
    /// It could not be put right.
    Failed {
        /// Why.
        error: String,
    },
}

/// What puts a finding right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Remedy {
    /// Remove the lock file, or the leftover.
    Remove,
    /// Move what is damaged to `<session>.jsonl.damaged`.
    Repair,
    /// Set the mode.
    SetMode,
}

impl Finding {
    pub(crate) fn new(path: PathBuf, problem: Problem, treatment: Treatment) -> Self {
        Self { path, problem, treatment }
    }

    pub(crate) fn reported(path: PathBuf, problem: Problem, reason: &str) -> Self {
        Self::new(path, problem, Treatment::Report { reason: reason.to_owned() })
    }

    /// Whether something is wrong there still.
    #[must_use]
    pub fn remains(&self) -> bool {
        !matches!(self.treatment, Treatment::None | Treatment::Done { .. })
    }

    /// Whether it was put right.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.treatment, Treatment::Done { .. })
    }

    /// Whether anything is or was wrong. If not, it is only told.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.treatment != Treatment::None
    }
}

impl Problem {
    /// A word for it, as in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lock(report) => match report.state {
                LockState::Held => "held lock",
                LockState::Foreign => "foreign lock",
                LockState::Stale if report.is_orphaned() => "orphaned lock",
                LockState::Stale => "stale lock",
                LockState::Fresh => "fresh lock",
                LockState::Remote => "lock of another host",
                LockState::Unreadable => "unreadable lock",
            },
            Self::Leftover { .. } => "leftover",
            Self::DamagedTranscript { .. } => "damaged transcript",
            Self::DuplicateHeader { .. } => "duplicate header",
            Self::BrokenChain { .. } => "broken chain",
            Self::UnreadableTranscript { .. } => "unreadable transcript",
            Self::UnreadableDirectory { .. } => "unreadable directory",
            Self::LocksNotKept { .. } => "locks not kept",
            Self::WrongMode { .. } => "wrong mode",
        }
    }
}

/// What there is to know about it, besides path and name; control characters are not in it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(report) => lock_facts(report, f),
            Self::Leftover { leftover: Leftover::Rewrite } => {
                f.write_str("a new file whose rewrite did not come to its end")
            }
            Self::Leftover { leftover: Leftover::Lock } => {
                f.write_str("a lock file that was never published")
            }
            Self::Leftover { leftover: Leftover::Probe } => {
                f.write_str("a trial of the filesystem's locks")
            }
            Self::DamagedTranscript { survey } => survey_facts(survey, f),
            Self::DuplicateHeader { more, first_line } => {
                write!(f, "{more} more session header{}", plural(*more))?;
                first_line.map_or(Ok(()), |line| write!(f, ", the first in line {line}"))
            }
            Self::BrokenChain { chain } => chain.fmt(f),
            Self::UnreadableTranscript { error }
            | Self::UnreadableDirectory { error }
            | Self::LocksNotKept { reason: error } => f.write_str(&crate::error::printable(error)),
            Self::WrongMode { mode, right } => write!(f, "mode {mode:04o}, should be {right:04o}"),
        }
    }
}

fn lock_facts(report: &LockReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(error) = &report.error {
        return f.write_str(&crate::error::printable(error));
    }
    let mut facts = Vec::new();
    if let Some(holder) = &report.holder {
        facts.push(match holder.pid {
            Some(pid) => format!("pid {pid} ({})", if holder.alive { "alive" } else { "dead" }),
            None => "no pid".to_owned(),
        });
        facts.extend(holder.host.iter().map(|host| format!("host {host}")));
        facts.extend(holder.label.iter().map(|label| format!("\"{label}\"")));
    }
    facts.extend(report.reasons.iter().map(ToString::to_string));
    if report.state == LockState::Fresh {
        facts.push("empty or half written, and still fresh".to_owned());
    }
    f.write_str(&facts.join(", "))
}

fn survey_facts(survey: &Survey, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kinds: Vec<_> =
        survey.damages.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    write!(f, "{}; ", kinds.join(", "))?;
    match survey.records_saved {
        0 => f.write_str("no record in damaged lines can be saved")?,
        many => write!(f, "{many} record{} in damaged lines can be saved", plural(many))?,
    }
    write!(f, ", {} byte{} to take out", survey.bytes_removed, plural(survey.bytes_removed))
}

pub(super) fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What is, was or would be done.
impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Report { reason } => write!(f, "reported only: {reason}"),
            Self::Would { remedy } => write!(f, "would be {}", remedy.done()),
            Self::Done { remedy, note: None } => f.write_str(remedy.done()),
            Self::Done { remedy, note: Some(note) } => write!(f, "{}: {note}", remedy.done()),
            Self::Kept { reason, .. } => {
                write!(f, "left alone: {}", crate::error::printable(reason))
            }
            Self::Failed { error } => {
                write!(f, "failed: {}", crate::error::printable(error))
            }
        }
    }
}

impl Remedy {
    fn done(self) -> &'static str {
        match self {
            Self::Remove => "removed",
            Self::Repair => "repaired",
            Self::SetMode => "set right",
        }
    }
}

fn octal<S: serde::Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

/// The directory of a finding: its own, where it is about a directory.
impl Finding {
    /// The directory that it is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self.problem {
            Problem::UnreadableDirectory { .. } | Problem::LocksNotKept { .. } => &self.path,
            _ => self.path.parent().unwrap_or(&self.path),
        }
    }
}
