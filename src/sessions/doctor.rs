//! The doctor: finds what is wrong with the sessions of many directories, and repairs what can be
//! repaired safely.
//!
//! An examination changes nothing and takes no lock. Locks are judged by their marks and records.
//! Transcripts are read as they are. With [`Doctor::fix`], each repair is made under the session's
//! turn, which is only *tried* for. Whatever a living process holds is left alone.

mod accepted;
mod directory;
mod files;
mod finding;
mod links;
mod modes;
mod session;
mod transcript;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use crate::sessions::Sessions;
pub use crate::sessions::sweep::leftover::Leftover;
use crate::sessions::sweep::pool::{self, Heartbeat};
use crate::sessions::sweep::{STUCK_AFTER, no_answer};
use files::SessionFiles;
pub use finding::{Finding, Problem, Remedy, Treatment};
pub use links::{Chain, Occurrences};
use session::{Examined, Examiner, Pending};
use transcript::PAUSE;

/// The settings of an examination. See [`Sessions::doctor`].
#[derive(Debug, Clone)]
#[must_use = "call `examine`"]
pub struct Doctor {
    sessions: Sessions,
    scope: Scope,
}

#[derive(Debug, Clone, Copy)]
struct Scope {
    fix: bool,
    accept: bool,
    locks: bool,
    transcripts: bool,
}

/// One thread for each entry, up to the limit of the pool.
const LIMITS: pool::Limits = pool::Limits { stuck_after: STUCK_AFTER, per_thread: 1 };

/// The result of an examination.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Examination {
    /// The number of directories that were examined.
    pub directories: usize,
    /// The number of sessions in them. A session has a transcript, a lock, or both.
    pub sessions: usize,
    /// The number of files that look like sessions by their names and are none: trajectories, and
    /// what was set aside as corrupt, replaced or reset. They are left alone.
    pub left_alone: usize,
    /// The findings about directories, then those about sessions, each in the order of the paths.
    /// Some are no trouble and are listed for completeness: see [`Finding::is_trouble`].
    pub findings: Vec<Finding>,
}

impl Examination {
    /// The number of findings that remain.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.findings.iter().filter(|finding| finding.remains()).count()
    }

    /// The number of findings that were fixed.
    #[must_use]
    pub fn fixed(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_fixed()).count()
    }
}

impl Doctor {
    pub(crate) fn new(sessions: &Sessions) -> Self {
        Self {
            sessions: sessions.clone(),
            scope: Scope { fix: false, accept: false, locks: true, transcripts: true },
        }
    }

    /// Whether to fix what can be fixed. Unless set, an examination changes nothing.
    pub fn fix(mut self, fix: bool) -> Self {
        self.scope.fix = fix;
        self
    }

    /// Whether to accept what is wrong with transcripts and can only be reported. It is noted
    /// beside each session, in `<session>.jsonl.accepted`, and does not remain in this examination
    /// and later ones, unless more of it is found.
    pub fn accept(mut self, accept: bool) -> Self {
        self.scope.accept = accept;
        self
    }

    /// Examines locks only.
    pub fn locks_only(mut self) -> Self {
        (self.scope.locks, self.scope.transcripts) = (true, false);
        self
    }

    /// Examines only transcripts, and what interrupted rewrites left beside them.
    pub fn transcripts_only(mut self) -> Self {
        (self.scope.locks, self.scope.transcripts) = (false, true);
        self
    }

    /// Examines every path. A path names a state directory with all its agents, a directory of
    /// sessions, one session, or its lock.
    ///
    /// `progress` is called about every 50 ms with the number of sessions that are done, and the
    /// number of all. An entry that cannot be examined never stops the rest. If a system call does
    /// not return for 10 s, the entry is abandoned and reported.
    ///
    /// Blocks until all sessions are examined, which includes reading every transcript.
    pub fn examine(
        &self,
        paths: impl IntoIterator<Item = impl Into<PathBuf>>,
        progress: impl FnMut(usize, usize),
    ) -> Examination {
        let mut findings = Vec::new();
        let paths = paths.into_iter().map(Into::into).collect();
        let directories = directory::open_all(paths, self.scope, &mut findings);
        let (mut sessions, mut left_alone) = (Vec::new(), 0);
        let count = directories.len();
        for directory in directories {
            left_alone += directory.left_alone;
            findings.extend(directory.findings);
            sessions.extend(directory.sessions);
        }
        let is_session = |files: &&SessionFiles| files.is_session();
        let session_count = sessions.iter().filter(is_session).count();
        findings.extend(self.examine_sessions(sessions, progress));
        Examination { directories: count, sessions: session_count, left_alone, findings }
    }

    /// Examines all sessions, and then together those whose transcripts may end in an unfinished
    /// write.
    fn examine_sessions(
        &self,
        sessions: Vec<SessionFiles>,
        mut progress: impl FnMut(usize, usize),
    ) -> impl Iterator<Item = Finding> {
        let total = sessions.len();
        let paths: Vec<_> = sessions.iter().map(SessionFiles::named).collect();
        let examiner = Arc::new(Examiner::new(&self.sessions, self.scope));
        let (mut findings, mut pending, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let examined = examine_all(&examiner, sessions, |done| progress(done, total));
        for (place, (examined, path)) in examined.into_iter().zip(&paths).enumerate() {
            match examined {
                Some(Examined { findings: some, pending: left }) => {
                    findings.push(some);
                    places.extend(left.is_some().then_some(place));
                    pending.extend(left.map(|left| *left));
                }
                None => findings.push(vec![stuck(path.clone())]),
            }
        }
        let done_before = total - pending.len();
        let settled = settle_all(examiner, pending, |done| progress(done_before + done, total));
        for (settled, place) in settled.into_iter().zip(places) {
            findings[place].extend(settled.unwrap_or_else(|| vec![stuck(paths[place].clone())]));
        }
        findings.into_iter().flatten()
    }
}

/// Examines sessions on several threads. `progress` is told how many are done and need not be
/// settled.
fn examine_all(
    examiner: &Arc<Examiner>,
    sessions: Vec<SessionFiles>,
    mut progress: impl FnMut(usize),
) -> Vec<Option<Examined>> {
    let unsettled = Arc::new(AtomicUsize::new(0));
    let (examiner, left) = (Arc::clone(examiner), Arc::clone(&unsettled));
    let examine = move |files: &SessionFiles, alive: &Heartbeat| {
        let examined = examiner.examine(files, alive);
        left.fetch_add(usize::from(examined.pending.is_some()), Ordering::Relaxed);
        examined
    };
    let mut most = 0;
    pool::map(sessions, LIMITS, examine, |done| {
        // Those that are being examined may be among the unsettled, but not among the done.
        most = most.max(done.saturating_sub(unsettled.load(Ordering::Relaxed)));
        progress(most);
    })
}

/// Settles what is left, after one pause for all.
fn settle_all(
    examiner: Arc<Examiner>,
    pending: Vec<Pending>,
    progress: impl FnMut(usize),
) -> Vec<Option<Vec<Finding>>> {
    if !pending.is_empty() {
        thread::sleep(PAUSE);
    }
    let settle = move |one: &Pending, alive: &Heartbeat| examiner.settle(one, alive);
    pool::map(pending, LIMITS, settle, progress)
}

/// The finding about a session for which a system call did not return.
fn stuck(path: PathBuf) -> Finding {
    let problem = Problem::UnreadableTranscript { error: no_answer() };
    Finding::reported(path, problem, "check the mount, then try again")
}
