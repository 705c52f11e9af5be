//! The examination of one session: its lock, its leftovers and its transcript.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::files::SessionFiles;
use super::finding::{Finding, Problem, Remedy, Treatment};
use super::transcript::{self, Reading, TranscriptFacts, Unfinished};
use super::{Scope, accepted, links, modes};
use crate::datafile::quarantine::quarantine_path;
use crate::datafile::read::Transcript;
use crate::error::{Context, Error, Holder, IfHostIsGone, Result};
use crate::lock::Reason;
use crate::place::Place;
use crate::sessions::Sessions;
use crate::sessions::sweep::leftover::{self, Leftover};
use crate::sessions::sweep::look::{Inspector, LockEntry};
use crate::sessions::sweep::pool::{Entry, Heartbeat};
use crate::sessions::sweep::{LockReport, LockState};
use crate::sys::{Pinned, Stat};
use crate::transcript::contents::Contents;
use crate::transcript::graph::MAX_RECORDS;
use crate::transcript::look::{HeaderTrouble, Objection, Verdict};
use crate::transcript::repair::{Careful, Repair};

/// The time that a disk has to answer that did not do so at once.
const ANSWER: Duration = Duration::from_secs(5);

/// Examines sessions, on any number of threads.
pub(super) struct Examiner {
    sessions: Sessions,
    inspector: Inspector,
    scope: Scope,
    /// How many ids are remembered for transcripts that are not settled yet.
    remembered: AtomicUsize,
}

/// A session that was examined.
pub(super) struct Examined {
    pub(super) findings: Vec<Finding>,
    /// What is left to be settled.
    /// In a box, since most of very many sessions have none.
    pub(super) pending: Option<Box<Pending>>,
}

/// A session whose transcript may end in an unfinished write.
pub(super) struct Pending {
    files: SessionFiles,
    in_use: Option<InUse>,
    unfinished: Mutex<Option<Unfinished>>,
}

impl Entry for Pending {
    fn path(&self) -> PathBuf {
        self.files.path()
    }
}

impl Examiner {
    pub(super) fn new(sessions: &Sessions, scope: Scope) -> Self {
        Self {
            sessions: sessions.clone(),
            inspector: Inspector::new(sessions.rules()),
            scope,
            remembered: AtomicUsize::new(0),
        }
    }

    /// Examines one session, and fixes it if that is in scope. What may be the unfinished write of
    /// a living writer at the end of its transcript is left to [`settle`](Self::settle).
    pub(super) fn examine(&self, files: &SessionFiles, heartbeat: &Heartbeat) -> Examined {
        let mut findings = Vec::new();
        let lock = self.lock(files);
        let in_use = lock.as_ref().and_then(InUse::of);
        if self.scope.locks {
            let grace = self.inspector.rules.malformed_grace;
            findings.extend(lock.map(|lock| lock_finding(lock, grace)));
        }
        let session = Session { examiner: self, files, in_use: in_use.as_ref(), heartbeat };
        let leftovers = files.leftovers.iter();
        findings.extend(leftovers.filter_map(|(name, kind)| session.leftover(name, *kind)));
        let unfinished = match &files.transcript {
            Some(name) if self.scope.transcripts => session.transcript(name, &mut findings),
            _ => None,
        };
        let pending = unfinished.map(|unfinished| {
            let unfinished = Mutex::new(Some(self.kept(unfinished)));
            Box::new(Pending { files: files.clone(), in_use, unfinished })
        });
        Examined { findings, pending }
    }

    /// Examines the rest of a transcript, [`PAUSE`](super::transcript::PAUSE) later or after that.
    pub(super) fn settle(&self, pending: &Pending, heartbeat: &Heartbeat) -> Vec<Finding> {
        let Pending { files, in_use, unfinished } = pending;
        let session = Session { examiner: self, files, in_use: in_use.as_ref(), heartbeat };
        match (&files.transcript, unfinished.lock().take()) {
            (Some(name), Some(unfinished)) => session.rest(name, unfinished),
            _ => Vec::new(),
        }
    }

    /// Bounds the memory for transcripts that are not settled yet.
    fn kept(&self, mut unfinished: Unfinished) -> Unfinished {
        let ids = unfinished.remembered();
        if self.remembered.fetch_add(ids, Ordering::Relaxed) + ids > MAX_RECORDS {
            self.remembered.fetch_sub(ids, Ordering::Relaxed);
            unfinished.forget();
        }
        unfinished
    }

    fn lock(&self, files: &SessionFiles) -> Option<LockReport> {
        let entry = LockEntry { dir: files.dir.clone(), name: files.lock.clone()? };
        if self.scope.fix && self.scope.locks {
            self.inspector.sweep(&entry)
        } else {
            self.inspector.look(&entry)
        }
    }
}

/// A session whose lock has been examined.
struct Session<'a> {
    examiner: &'a Examiner,
    files: &'a SessionFiles,
    /// Set if somebody holds the session, or may hold it.
    in_use: Option<&'a InUse>,
    heartbeat: &'a Heartbeat,
}

impl Session<'_> {
    fn leftover(&self, name: &OsStr, leftover: Leftover) -> Option<Finding> {
        let Scope { locks, transcripts, .. } = self.examiner.scope;
        let in_scope = if leftover == Leftover::Rewrite { transcripts } else { locks };
        // A living holder may still use the file, or may have put it into place by now.
        if !in_scope || self.in_use.is_some() || self.is_gone(name) {
            return None;
        }
        let treatment = self.remove_leftover(name)?;
        let named = self.files.dir.named.join(name);
        Some(Finding::new(named, Problem::Leftover { leftover }, treatment))
    }

    /// `None` if somebody else removed it meanwhile.
    fn remove_leftover(&self, name: &OsStr) -> Option<Treatment> {
        if !self.examiner.scope.fix {
            return Some(Treatment::Would { remedy: Remedy::Remove });
        }
        match leftover::remove(&self.files.dir.open, name, &self.examiner.inspector.rules) {
            Ok(true) => Some(Treatment::Done { remedy: Remedy::Remove, note: None }),
            Ok(false) => Some(Treatment::kept("somebody may still use it")),
            Err(_) if self.is_gone(name) => None,
            Err(error) => Some(Treatment::Failed { error: error.to_string() }),
        }
    }

    /// Examines the transcript. Returns what is left to be settled later.
    fn transcript(&self, name: &OsStr, findings: &mut Vec<Finding>) -> Option<Unfinished> {
        let dir = &self.files.dir;
        // Nothing is wrong with a file that was removed since the directory was read.
        let Ok(Some(stat)) = dir.open.stat(name) else { return None };
        findings.extend(self.mode(name, &dir.named.join(name), &stat));
        match self.read(name, |file| transcript::begin(file, &stem(name), self.heartbeat)) {
            Ok(Reading::Unfinished(unfinished)) => return Some(unfinished),
            Ok(Reading::Done(facts)) => findings.extend(self.judged(name, Ok(facts))),
            Err(error) => findings.extend(self.judged(name, Err(error))),
        }
        None
    }

    /// Examines the rest of the transcript.
    fn rest(&self, name: &OsStr, unfinished: Unfinished) -> Vec<Finding> {
        let settle =
            |file: &Pinned| transcript::settle(file, &stem(name), unfinished, self.heartbeat);
        self.judged(name, self.read(name, settle))
    }

    /// Whether a file was removed since the directory was read.
    fn is_gone(&self, name: &OsStr) -> bool {
        self.files.dir.open.stat(name).is_ok_and(|stat| stat.is_none())
    }

    fn read<T>(&self, name: &OsStr, how: impl FnOnce(&Pinned) -> io::Result<T>) -> Result<T> {
        let place = Place::of_session_in(&self.files.dir.open, name);
        let transcript = Transcript::open_at(&place).map_err(Error::from)?;
        how(&transcript.into_pinned()).context("read", &self.files.dir.named.join(name))
    }

    fn mode(&self, name: &OsStr, named: &Path, stat: &Stat) -> Option<Finding> {
        let (mode, right) = modes::wrong(stat)?;
        let treatment = self.treat(Remedy::SetMode, || {
            let right = |stat: &Stat| modes::wrong(stat).map(|(_, right)| right);
            Treatment::from_result(Remedy::SetMode, self.files.dir.open.set_mode(name, right))
        });
        Some(Finding::new(named.to_owned(), Problem::WrongMode { mode, right }, treatment))
    }

    fn contents(&self, name: &OsStr, facts: Result<Box<TranscriptFacts>>) -> Vec<Finding> {
        let dir = &self.files.dir;
        let (path, named) = (dir.real().join(name), dir.named.join(name));
        let facts = match facts {
            Ok(facts) => facts,
            Err(Error::NoSession { .. }) => return Vec::new(),
            Err(error) => return vec![unreadable(named, error)],
        };
        let mut survey = facts.survey().clone();
        let TranscriptFacts { graph, header, verdict, .. } = *facts;
        let refusal = match verdict {
            Verdict::Refused(Objection::NotUnderstood(contents)) => {
                let treatment = Treatment::report(&left_alone(contents, &named));
                return vec![Finding::new(named, Problem::NotUnderstood { contents }, treatment)];
            }
            Verdict::Refused(why) => Some(why),
            Verdict::Healthy | Verdict::Mend(_) => None,
        };
        let mut findings = Vec::new();
        let mut add = |problem, treatment| {
            findings.push(Finding::new(named.clone(), problem, treatment));
        };
        let too_deep = survey.set_left_alone_apart();
        if !survey.is_healthy() || header.is_some() {
            let remedy = if header.is_some() { Remedy::PutHeader } else { Remedy::Repair };
            let treatment = match &refusal {
                Some(refusal) => refused(refusal, &named),
                None => self.treat(remedy, || self.repair(remedy, &path)),
            };
            if !survey.is_healthy() {
                add(Problem::DamagedTranscript { survey }, treatment.as_repair());
            }
            if let Some(HeaderTrouble { format, misplaced }) = header {
                let (misplaced, line) = (misplaced.is_some(), misplaced.flatten());
                add(Problem::NoHeader { format, misplaced, line }, treatment);
            }
        }
        if too_deep > 0 {
            let reason = "whether such a line is whole cannot be told, and no repair removes it";
            add(Problem::TooDeep { lines: too_deep }, Treatment::report(reason));
        }
        for (problem, treatment) in links::problems(graph.report()) {
            add(problem, treatment);
        }
        findings
    }

    /// The findings about the contents of a transcript, those that were accepted marked as such.
    fn judged(&self, name: &OsStr, facts: Result<Box<TranscriptFacts>>) -> Vec<Finding> {
        let mut findings = self.contents(name, facts);
        if findings.iter().any(accepted::can_be_accepted) {
            let place = Place::of_session_in(&self.files.dir.open, name);
            if let Ok(session) = Transcript::open_at(&place) {
                let accept = self.examiner.scope.accept;
                accepted::mark(&place, session.into_pinned().file(), &mut findings, accept);
            }
        }
        findings
    }

    /// Applies a remedy, unless somebody may hold the session, or nothing is to be changed.
    fn treat(&self, remedy: Remedy, apply: impl FnOnce() -> Treatment) -> Treatment {
        match self.in_use {
            Some(in_use) => in_use.kept(),
            None if !self.examiner.scope.fix => Treatment::Would { remedy },
            None => apply(),
        }
    }

    /// Repairs the session under its turn, if the turn can be had at once.
    fn repair(&self, remedy: Remedy, path: &Path) -> Treatment {
        // A large file takes long, but the repair makes progress, and locks are only tried.
        let _unlimited = self.heartbeat.without_limit();
        match repair_in_turn(&self.examiner.sessions, path) {
            Ok(Careful { refused: Some(refusal), .. }) => refused(&refusal, path),
            Ok(Careful { repair, .. }) => {
                Treatment::Done { remedy, note: Some(note(&repair, path)) }
            }
            Err(Error::Timeout { holder: Some(holder), .. }) => InUse::by(Some(*holder)).kept(),
            Err(error) if error.is_busy() || matches!(error, Error::OpenElsewhere { .. }) => {
                Treatment::kept(error.to_string())
            }
            Err(error) => Treatment::Failed { error: error.to_string() },
        }
    }
}

fn repair_in_turn(sessions: &Sessions, path: &Path) -> Result<Careful> {
    let turn = || sessions.turn(path).label("doctor");
    let turn = match turn().try_acquire() {
        // It is far, or busy.
        Err(Error::NoAnswer { .. }) => turn().timeout(ANSWER).acquire_blocking()?,
        tried => tried?,
    };
    let done = turn.repair_with_care_blocking()?;
    // The session is repaired, even if the turn is lost now.
    let _ = turn.release_blocking();
    Ok(done)
}

/// The name of a session without its extension.
fn stem(name: &OsStr) -> Cow<'_, str> {
    Path::new(name).file_stem().unwrap_or_default().to_string_lossy()
}

/// Why a repair would make things worse, and what to do instead.
fn refused(refusal: &Objection, path: &Path) -> Treatment {
    Treatment::report(&match refusal {
        Objection::NotUnderstood(contents) => left_alone(*contents, path),
        Objection::NoHeader(missing) => format!(
            "nothing was changed: its header cannot be made of what is left, which lacks \
             {missing}; put the header back as its first line, or take the file from a backup"
        ),
    })
}

/// What to do about a file that a repair would empty.
fn left_alone(contents: Contents, path: &Path) -> String {
    let file = path.display().to_string().replace('\'', "'\\''");
    format!("a repair would leave little of it; {}", contents.remedy(&format!("'{file}'")))
}

fn note(repair: &Repair, path: &Path) -> String {
    if !repair.changed() {
        return "somebody else repaired it meanwhile".to_owned();
    }
    let quarantine = quarantine_path(path);
    let quarantine = quarantine.file_name().unwrap_or_default().display();
    let lost = if repair.flags_lost { "; not all of its file flags could be kept" } else { "" };
    let moved = format!("{} bytes were moved to {quarantine}{lost}", repair.survey.bytes_removed);
    match &repair.header {
        None => moved,
        Some(header) if header.moved => format!("its header is the first line now; {moved}"),
        Some(header) if header.invented.is_empty() => {
            format!("its header was completed; {moved}")
        }
        Some(header) => {
            format!("its header was made anew, with {}; {moved}", header.invented.join(", "))
        }
    }
}

fn unreadable(named: PathBuf, error: Error) -> Finding {
    let error = match error {
        // The finding has the path already.
        Error::NotASession { reason, .. } => reason.to_owned(),
        other => other.to_string(),
    };
    Finding::reported(named, Problem::UnreadableTranscript { error }, "it was not examined")
}

/// Somebody holds the session, or may hold it.
struct InUse {
    reason: String,
    holder: Option<Holder>,
}

impl InUse {
    /// `None` if the lock is stale.
    fn of(report: &LockReport) -> Option<Self> {
        match report.state {
            LockState::Stale => None,
            LockState::Held
            | LockState::Foreign
            | LockState::Fresh
            | LockState::Remote
            | LockState::Unseen
            | LockState::Unreadable => Some(Self::by(report.holder.clone())),
        }
    }

    fn by(holder: Option<Holder>) -> Self {
        let reason = match &holder {
            Some(Holder { pid: Some(pid), unseen: true, .. }) => {
                return Self { reason: unseen(*pid), holder };
            }
            Some(Holder { pid: Some(pid), label: Some(label), .. }) => {
                format!("held by pid {pid} (\"{label}\")")
            }
            Some(Holder { pid: Some(pid), host_pid, .. }) => {
                format!("held by pid {}", host_pid.unwrap_or(*pid))
            }
            _ => "somebody holds it, or may hold it".to_owned(),
        };
        Self { reason: format!("{reason}; try again when it is done"), holder }
    }

    fn kept(&self) -> Treatment {
        Treatment::Kept { reason: self.reason.clone(), holder: self.holder.clone().map(Box::new) }
    }
}

/// Why the lock of a process that cannot be seen is left alone, and what its operator can do.
fn unseen(pid: i64) -> String {
    format!(
        "pid {pid} is not in this PID namespace, and may live in one that cannot be seen from \
         here; if no other container or host uses this directory, add --assume-local"
    )
}

fn lock_finding(lock: LockReport, grace: Duration) -> Finding {
    let treatment = lock_treatment(&lock, grace);
    Finding::new(lock.lock.clone(), Problem::Lock(lock), treatment)
}

/// The command that takes the session from the holder of a lock.
fn revoke_of(lock: &LockReport) -> String {
    let holder = lock.holder.as_ref();
    let command = holder.and_then(|holder| crate::error::revoke(&lock.lock, holder));
    command.unwrap_or_else(|| "turnlock revoke".into())
}

fn lock_treatment(lock: &LockReport, grace: Duration) -> Treatment {
    let too_old = lock.reasons.contains(&Reason::TooOld);
    match (lock.state, &lock.error) {
        (LockState::Stale, _) if lock.removed => {
            Treatment::Done { remedy: Remedy::Remove, note: None }
        }
        (LockState::Stale, Some(error)) => Treatment::Failed { error: error.clone() },
        (LockState::Stale, None) => Treatment::Would { remedy: Remedy::Remove },
        (LockState::Held, _) if too_old => Treatment::report(&format!(
            "a living process holds it for very long: `{}` takes it away",
            revoke_of(lock)
        )),
        (LockState::Foreign, _) if too_old => Treatment::report(
            "a living process holds it for very long: only ending that process frees it",
        ),
        (LockState::Held | LockState::Foreign, _) => Treatment::None,
        (LockState::Fresh, _) => Treatment::kept(format!(
            "somebody may be writing it; it counts as stale {} s after its last change",
            grace.as_secs()
        )),
        (LockState::Remote, _) => Treatment::report(&match &lock.holder {
            Some(holder) => format!(
                "whether its owner is alive cannot be seen from this host; {}",
                IfHostIsGone(&lock.lock, holder)
            ),
            None => "whether its owner is alive cannot be seen from this host".to_owned(),
        }),
        (LockState::Unseen, _) => InUse::by(lock.holder.clone()).kept(),
        (LockState::Unreadable, _) => Treatment::report("a lock that cannot be read may be held"),
    }
}
