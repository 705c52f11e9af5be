//! Findings: what is wrong, and what is done about it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::links::{Chain, Occurrences};
use crate::compat::format::Format;
use crate::error::Holder;
use crate::sessions::paths;
use crate::sessions::sweep::leftover::Leftover;
use crate::sessions::sweep::{LockReport, LockState};
use crate::transcript::contents::Contents;
use crate::transcript::json::MAX_DEPTH;
use crate::transcript::repair::Survey;

/// One thing that is wrong, or that is listed for completeness.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// The path that the finding is about.
    #[serde(flatten, serialize_with = "paths::path")]
    pub path: PathBuf,
    /// The problem.
    pub problem: Problem,
    /// What is done about it.
    pub treatment: Treatment,
}

/// A problem of a lock, a session or a directory.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Problem {
    /// A lock, in any state. A lock that is held is no trouble (see [`Finding::is_trouble`]).
    Lock(LockReport),
    /// A temporary file that interrupted work left behind.
    Leftover {
        /// The kind of file.
        leftover: Leftover,
    },
    /// A session file with damaged lines.
    DamagedTranscript {
        /// Counts of its lines and its damage.
        survey: Survey,
    },
    /// A session file without the header that its format wants as its first record. The program
    /// that it is from discards such a file.
    NoHeader {
        /// The format.
        format: Format,
        /// Whether a header is further down.
        misplaced: bool,
        /// The line number of that header, if known.
        line: Option<u64>,
    },
    /// A file that is no session file, or of which a repair would leave little or nothing.
    NotUnderstood {
        /// What it is.
        contents: Contents,
    },
    /// A session file with lines that are nested too deeply to be judged.
    TooDeep {
        /// The number of such lines.
        lines: u64,
    },
    /// A session file with more than one header.
    DuplicateHeader {
        /// The number of headers after the first record.
        more: u64,
        /// The line number of the first of them, if known.
        first_line: Option<u64>,
    },
    /// Records whose parent is not in the session. Readers that follow the chain lose what precedes
    /// the break.
    BrokenChain {
        /// The number of such records, and the first of them.
        #[serde(flatten)]
        chain: Chain,
    },
    /// Records whose id was there before.
    DuplicateId {
        /// These records.
        #[serde(flatten)]
        records: Occurrences,
        /// So many of them are the same record again.
        repeated: u64,
    },
    /// Records that are their own ancestors. Readers that follow the chain hang.
    ParentCycle {
        /// A record of each cycle.
        #[serde(flatten)]
        records: Occurrences,
    },
    /// Lines of a session that are no objects, such as `null`. Readers may fail on them.
    NotARecord {
        /// These lines; `first` is the kind of value.
        #[serde(flatten)]
        records: Occurrences,
    },
    /// Records that name another session than the first one does.
    MixedSessions {
        /// These records; `first` is that session.
        #[serde(flatten)]
        records: Occurrences,
    },
    /// Calls of tools without a result, though a user has spoken since. Models refuse such a
    /// conversation.
    ToolWithoutResult {
        /// The records with these calls; `first` is the id of the call.
        #[serde(flatten)]
        records: Occurrences,
    },
    /// A session with so many records that the links of the last ones were not checked. That is no
    /// trouble.
    PartlyChecked {
        /// The line from which on they were not checked, if known.
        from_line: Option<u64>,
    },
    /// A session file that cannot be read, or that is not a regular file.
    UnreadableTranscript {
        /// Why.
        error: String,
    },
    /// A directory that cannot be read, or that is a symbolic link.
    UnreadableDirectory {
        /// Why.
        error: String,
    },
    /// A directory on a filesystem that does not keep locks.
    LocksNotKept {
        /// The mount, and why it does not keep locks.
        reason: String,
    },
    /// A file or directory that its owner cannot read and write, or that everybody can write to.
    WrongMode {
        /// The mode.
        #[serde(serialize_with = "octal")]
        mode: u32,
        /// The right mode.
        #[serde(serialize_with = "octal")]
        right: u32,
    },
}

/// What is done about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Treatment {
    /// Nothing is wrong. It is listed for completeness.
    None,
    /// It is only reported. A person must decide what to do.
    Report {
        /// Why nothing is done about it.
        reason: String,
    },
    /// It is only reported, and somebody has accepted it (see
    /// [`Doctor::accept`](super::Doctor::accept)).
    Accepted {
        /// When it was accepted (RFC 3339, UTC).
        accepted_at: String,
    },
    /// It would be fixed with [`Doctor::fix`](super::Doctor::fix).
    Would {
        /// The remedy.
        remedy: Remedy,
    },
    /// It was fixed.
    Done {
        /// The remedy.
        remedy: Remedy,
        /// Details of what was done.
        note: Option<String>,
    },
    /// It was left alone, because somebody holds the session or may hold it.
    Kept {
        /// Who holds it, or why somebody may hold it.
        reason: String,
        /// The holder, if known.
        holder: Option<Box<Holder>>,
    },
    /// Fixing it failed.
    Failed {
        /// Why.
        error: String,
    },
}

/// What fixes a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Remedy {
    /// Remove the lock file, or the leftover.
    Remove,
    /// Move the damaged bytes to `<session>.jsonl.damaged`.
    Repair,
    /// The same, and make a header of what is left, or put the one that is there first.
    PutHeader,
    /// Set the right mode.
    SetMode,
}

impl Finding {
    pub(crate) fn new(path: PathBuf, problem: Problem, treatment: Treatment) -> Self {
        Self { path, problem, treatment }
    }

    pub(crate) fn reported(path: PathBuf, problem: Problem, reason: &str) -> Self {
        Self::new(path, problem, Treatment::report(reason))
    }

    /// Whether something is still wrong.
    #[must_use]
    pub fn remains(&self) -> bool {
        use Treatment as T;
        !matches!(self.treatment, T::None | T::Done { .. } | T::Accepted { .. })
    }

    /// Whether it was fixed.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.treatment, Treatment::Done { .. })
    }

    /// Whether it was accepted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self.treatment, Treatment::Accepted { .. })
    }

    /// Whether anything is or was wrong. If not, the finding is listed for completeness.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.treatment != Treatment::None
    }

    /// The directory that the path is in. For findings about unreadable directories and
    /// filesystems, the path itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self.problem {
            Problem::UnreadableDirectory { .. } | Problem::LocksNotKept { .. } => &self.path,
            _ => self.path.parent().unwrap_or(&self.path),
        }
    }
}

impl Treatment {
    /// The treatment by a remedy that was applied with this result.
    pub(super) fn from_result<E: fmt::Display>(remedy: Remedy, result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Done { remedy, note: None },
            Err(error) => Self::Failed { error: error.to_string() },
        }
    }

    /// The same for another finding about the same repair.
    pub(super) fn as_repair(&self) -> Self {
        match self {
            Self::Would { remedy: Remedy::PutHeader } => Self::Would { remedy: Remedy::Repair },
            Self::Done { remedy: Remedy::PutHeader, note } => {
                Self::Done { remedy: Remedy::Repair, note: note.clone() }
            }
            other => other.clone(),
        }
    }

    pub(super) fn report(reason: &str) -> Self {
        Self::Report { reason: reason.to_owned() }
    }

    /// The session is left alone. Nothing is known about its holder.
    pub(super) fn kept(reason: impl Into<String>) -> Self {
        Self::Kept { reason: reason.into(), holder: None }
    }
}

impl Problem {
    /// The name of the problem in reports, such as `stale lock`.
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
                LockState::Unseen => "unseen lock",
                LockState::Unreadable => "unreadable lock",
            },
            Self::Leftover { .. } => "leftover",
            Self::DamagedTranscript { .. } => "damaged transcript",
            Self::NoHeader { .. } => "no session header",
            Self::NotUnderstood { .. } => "not a session file",
            Self::TooDeep { .. } => "line too deep",
            Self::DuplicateHeader { .. } => "duplicate header",
            Self::BrokenChain { .. } => "broken chain",
            Self::DuplicateId { .. } => "duplicate id",
            Self::ParentCycle { .. } => "cycle of parents",
            Self::NotARecord { .. } => "not a record",
            Self::MixedSessions { .. } => "mixed sessions",
            Self::ToolWithoutResult { .. } => "tool without result",
            Self::PartlyChecked { .. } => "partly checked",
            Self::UnreadableTranscript { .. } => "unreadable transcript",
            Self::UnreadableDirectory { .. } => "unreadable directory",
            Self::LocksNotKept { .. } => "locks not kept",
            Self::WrongMode { .. } => "wrong mode",
        }
    }
}

/// The facts about the problem, without path and name. The text contains no control characters.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(report) => lock_facts(report, f),
            Self::Leftover { leftover: Leftover::Rewrite } => {
                f.write_str("the new file of an interrupted rewrite")
            }
            Self::Leftover { leftover: Leftover::Lock } => {
                f.write_str("a lock file that was never published")
            }
            Self::Leftover { leftover: Leftover::Probe } => {
                f.write_str("a probe of the filesystem's locks")
            }
            Self::DamagedTranscript { survey } => survey_facts(survey, f),
            Self::NoHeader { format, misplaced: false, .. } => {
                write!(f, "{format} discards this file")
            }
            Self::NoHeader { format, line: Some(line), .. } => {
                write!(f, "its header is in line {line}, not first: {format} discards this file")
            }
            Self::NoHeader { format, .. } => {
                write!(f, "its header is not its first record: {format} discards this file")
            }
            Self::NotUnderstood { contents } => contents.fmt(f),
            Self::TooDeep { lines } => {
                let s = plural(*lines);
                write!(f, "{lines} line{s} with more than {MAX_DEPTH} levels of nesting")
            }
            Self::DuplicateHeader { more, first_line } => {
                write!(f, "{more} more session header{}", plural(*more))?;
                first_line.map_or(Ok(()), |line| write!(f, ", the first in line {line}"))
            }
            Self::BrokenChain { chain } => chain.fmt(f),
            Self::DuplicateId { records, repeated } => {
                records.tell(["with an id that was there before"; 2], f)?;
                match *repeated {
                    0 => Ok(()),
                    all if all == records.count => f.write_str(" (the same record again)"),
                    some => write!(f, " ({some} the same record again)"),
                }
            }
            Self::ParentCycle { records } => {
                records.tell(["that comes back to itself", "that come back to themselves"], f)
            }
            Self::NotARecord { records } => {
                records.tell(["that is no object", "that are no objects"], f)
            }
            Self::MixedSessions { records } => records.tell(["of another session"; 2], f),
            Self::ToolWithoutResult { records } => {
                records.tell(["with a call without result"; 2], f)
            }
            Self::PartlyChecked { from_line } => {
                f.write_str("too many records: the links were not checked")?;
                from_line.map_or(Ok(()), |line| write!(f, " from line {line} on"))
            }
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
            Some(pid) => format!("pid {} ({})", holder.host_pid.unwrap_or(pid), life(holder)),
            None => "no pid".to_owned(),
        });
        if let (Some(pid), Some(_)) = (holder.pid, holder.host_pid) {
            let place = holder.container.as_deref().unwrap_or("another PID namespace");
            facts.push(format!("pid {pid} in {place}"));
        }
        facts.extend(holder.host.iter().map(|host| format!("host {host}")));
        facts.extend(holder.label.iter().map(|label| format!("\"{label}\"")));
    }
    facts.extend(report.reasons.iter().map(ToString::to_string));
    if report.state == LockState::Fresh {
        let what = if report.holder.is_some() { "" } else { "empty or half written, and " };
        facts.push(format!("{what}still fresh"));
    }
    f.write_str(&facts.join(", "))
}

/// Whether the holder lives, in a word.
fn life(holder: &Holder) -> &'static str {
    match (holder.unseen || holder.hidden.is_some(), holder.alive) {
        (true, _) => "unknown",
        (_, true) => "alive",
        (_, false) => "dead",
    }
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

/// What was done, or would be done.
impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Report { reason } => write!(f, "reported only: {reason}"),
            Self::Accepted { accepted_at } => write!(f, "accepted {accepted_at}"),
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
            Self::PutHeader => "given its header",
            Self::SetMode => "set right",
        }
    }
}

fn octal<S: serde::Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}
