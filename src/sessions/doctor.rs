//! The doctor: finds what is wrong with the sessions of many directories, and repairs what can be
//! repaired safely.
//!
//! An examination changes nothing and takes no lock. Locks are judged by their marks and records.
//! Transcripts are read as they are. With [`Doctor::fix`], each repair is made under the session's
//! turn, which is only *tried* for. Whatever a living process holds is left alone.

mod chain;
mod directory;
mod files;
mod finding;
mod modes;
mod session;
mod transcript;

use std::path::PathBuf;

use serde::Serialize;

use crate::sessions::Sessions;
pub use crate::sessions::sweep::leftover::Leftover;
use crate::sessions::sweep::pool::{self, Heartbeat};
use crate::sessions::sweep::{STUCK_AFTER, no_answer};
pub use chain::Chain;
use files::SessionFiles;
pub use finding::{Finding, Problem, Remedy, Treatment};
use session::Examiner;

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
            scope: Scope { fix: false, locks: true, transcripts: true },
        }
    }

    /// Whether to fix what can be fixed. Unless set, an examination changes nothing.
    pub fn fix(mut self, fix: bool) -> Self {
        self.scope.fix = fix;
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
        let mut sessions = Vec::new();
        let count = directories.len();
        for directory in directories {
            findings.extend(directory.findings);
            sessions.extend(directory.sessions);
        }
        let is_session = |files: &&SessionFiles| files.is_session();
        let session_count = sessions.iter().filter(is_session).count();
        findings.extend(self.examine_sessions(sessions, progress));
        Examination { directories: count, sessions: session_count, findings }
    }

    fn examine_sessions(
        &self,
        sessions: Vec<SessionFiles>,
        mut progress: impl FnMut(usize, usize),
    ) -> impl Iterator<Item = Finding> {
        let total = sessions.len();
        let paths: Vec<_> = sessions.iter().map(SessionFiles::named).collect();
        let examiner = Examiner::new(&self.sessions, self.scope);
        let work = move |files: &SessionFiles, alive: &Heartbeat| examiner.examine(files, alive);
        pool::map(sessions, LIMITS, work, |done| progress(done, total))
            .into_iter()
            .zip(paths)
            .flat_map(|(findings, path)| findings.unwrap_or_else(|| vec![stuck(path)]))
    }
}

/// The finding about a session for which a system call did not return.
fn stuck(path: PathBuf) -> Finding {
    let problem = Problem::UnreadableTranscript { error: no_answer() };
    Finding::reported(path, problem, "check the mount, then try again")
}
