//! Finds what is wrong with sessions, in many directories at once, and puts right what can be put right safely.
//!
//! An examination changes nothing and takes no lock: locks are judged by their marks and records, transcripts are read as they are.
//! With [`Doctor::fix`] repairs are made under the turn, which is only *tried* for: what a living process holds is left alone.

mod census;
mod checkup;
mod finding;
mod lineage;
mod modes;
mod visit;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::error::Result;
use crate::sessions::Sessions;
pub use crate::sessions::sweep::leftover::Leftover;
use crate::sessions::sweep::look::{Directory, Looker};
use crate::sessions::sweep::pool::{self, Pulse};
use crate::sessions::sweep::{STUCK_AFTER, no_answer};
use crate::sys::filesystem::{self, KeepsLocks};
use crate::sys::{self, stat_path};
use census::Entry;
pub use finding::{Finding, Problem, Remedy, Treatment};
pub use lineage::Chain;
use visit::Visit;

/// An examination to be made; see [`Sessions::doctor`].
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

/// What an examination brought.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Examination {
    /// How many directories were looked into.
    pub directories: usize,
    /// How many sessions they have, by their transcripts and locks.
    pub sessions: usize,
    /// What was found, in the order of the paths. Also what is only told: see [`Finding::is_trouble`].
    pub findings: Vec<Finding>,
}

impl Examination {
    /// How many findings there still are.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.findings.iter().filter(|finding| finding.remains()).count()
    }

    /// How many findings were put right.
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

    /// Puts right what can be.
    pub fn fix(mut self, fix: bool) -> Self {
        self.scope.fix = fix;
        self
    }

    /// Looks at locks only.
    pub fn locks_only(mut self) -> Self {
        (self.scope.locks, self.scope.transcripts) = (true, false);
        self
    }

    /// Looks at transcripts, and what rewrites left beside them, only.
    pub fn transcripts_only(mut self) -> Self {
        (self.scope.locks, self.scope.transcripts) = (false, true);
        self
    }

    /// Examines every path: a state directory with all its agents, a directory of sessions, one session or its lock. Blocks.
    ///
    /// `progress` is told every now and then how many sessions of how many are done. One bad entry never stops the rest; a system
    /// call that does not come back for 10 s is given up and reported.
    pub fn examine(
        &self,
        paths: impl IntoIterator<Item = impl Into<PathBuf>>,
        mut progress: impl FnMut(usize, usize),
    ) -> Examination {
        let mut examination = Examination::default();
        let wards = self.find_wards(paths.into_iter().map(Into::into).collect(), &mut examination);
        let mut beds = Vec::new();
        for ward in wards {
            examination.directories += 1;
            examination.findings.extend(ward.findings);
            let Some(dir) = ward.dir else { continue };
            beds.extend(ward.entries.into_iter().map(|entry| (Arc::clone(&dir), entry)));
        }
        examination.sessions = beds
            .iter()
            .filter(|(_, entry)| entry.lock.is_some() || entry.transcript.is_some())
            .count();
        let total = beds.len();
        let names: Vec<_> = beds.iter().map(|(dir, entry)| dir.named.join(entry.name())).collect();
        let visit = Visit {
            sessions: self.sessions.clone(),
            looker: Looker::new(self.sessions.rules()),
            scope: self.scope,
        };
        let work = move |(dir, entry): &(Arc<Directory>, Entry), pulse: &Pulse| {
            visit.see(dir, entry, pulse)
        };
        let found =
            pool::each(beds, pool::Pace { limit: STUCK_AFTER, per_thread: 1 }, work, |done| {
                progress(done, total)
            });
        for (found, name) in found.into_iter().zip(names) {
            let stuck = || {
                vec![Finding::reported(
                    name,
                    Problem::UnreadableTranscript { error: no_answer() },
                    STUCK,
                )]
            };
            examination.findings.extend(found.unwrap_or_else(stuck));
        }
        examination
    }

    /// The directories that the paths mean, each once.
    fn find_wards(&self, paths: Vec<PathBuf>, examination: &mut Examination) -> Vec<Ward> {
        let scope = self.scope;
        let pace = pool::Pace { limit: STUCK_AFTER, per_thread: 1 };
        let targets =
            pool::each(paths.clone(), pace, |path: &PathBuf, _: &Pulse| targets_of(path), |_| {});
        let mut wanted = Vec::new();
        for (targets, path) in targets.into_iter().zip(paths) {
            match targets {
                Some(Ok(targets)) => wanted.extend(targets),
                Some(Err(error)) => examination.findings.push(unreadable(path, error.to_string())),
                None => examination.findings.push(unreadable(path, no_answer())),
            }
        }
        let wards = pool::each(
            wanted.clone(),
            pace,
            move |target: &Target, pulse: &Pulse| Ward::open(target, scope, pulse),
            |_| {},
        );
        let mut opened = Vec::new();
        for (ward, target) in wards.into_iter().zip(wanted) {
            match ward {
                Some(Ok(ward)) => opened.push((target, ward)),
                Some(Err(error)) => {
                    examination.findings.push(unreadable(target.dir, error.to_string()))
                }
                None => examination.findings.push(unreadable(target.dir, no_answer())),
            }
        }
        each_once(opened)
    }
}

const STUCK: &str = "look at the mount, then try again";

fn unreadable(path: PathBuf, error: String) -> Finding {
    Finding::reported(path, Problem::UnreadableDirectory { error }, "nothing in it was looked at")
}

/// A directory to be looked into, or one session of it.
#[derive(Debug, Clone)]
struct Target {
    dir: PathBuf,
    only: Option<OsString>,
    /// It was found, not named: a link there is not followed.
    found: bool,
}

fn targets_of(path: &Path) -> std::io::Result<Vec<Target>> {
    if path.metadata().is_ok_and(|facts| facts.is_dir()) && !is_session(path) {
        let dirs = census::directories_of(path)?;
        return Ok(dirs
            .into_iter()
            .map(|dir| Target { found: dir != path, dir, only: None })
            .collect());
    }
    let (dir, name) =
        crate::sessions::sweep::look::split(path).ok_or(std::io::ErrorKind::InvalidInput)?;
    let name = crate::sessions::sweep::look::session_name(name);
    Ok(vec![Target { dir, only: Some(name), found: false }])
}

/// By its name; what it is may be anything.
fn is_session(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".jsonl") || name.ends_with(b".jsonl.lock")
}

/// A directory with its entries.
struct Ward {
    /// Where it is, links resolved.
    real: PathBuf,
    /// `None` for a link that is not followed.
    dir: Option<Arc<Directory>>,
    entries: Vec<Entry>,
    findings: Vec<Finding>,
}

impl Ward {
    fn open(target: &Target, scope: Scope, pulse: &Pulse) -> Result<Self> {
        if target.found && target.dir.is_symlink() {
            let problem = Problem::UnreadableDirectory { error: "it is a symbolic link".into() };
            let reason = "links are not followed; name its target to have that examined";
            let findings = vec![Finding::reported(target.dir.clone(), problem, reason)];
            let real = target.dir.clone();
            return Ok(Self { real, dir: None, entries: Vec::new(), findings });
        }
        let dir = Directory::open(&target.dir)?;
        let mut entries = census::entries_of(&dir, target.only.as_deref(), pulse)?;
        if !scope.transcripts {
            entries.retain(|entry| entry.lock.is_some() || !entry.leftovers.is_empty());
        }
        let findings =
            [filesystem_of(&dir, scope), mode_of(&dir, scope)].into_iter().flatten().collect();
        let real = dir.real().to_owned();
        Ok(Self { real, dir: Some(Arc::new(dir)), entries, findings })
    }
}

/// A local filesystem is known by its kind. Elsewhere the locks are tried, on files of their own that are gone afterwards.
fn filesystem_of(dir: &Directory, scope: Scope) -> Option<Finding> {
    if !scope.locks {
        return None;
    }
    let filesystem = filesystem::filesystem(dir.real()).ok()?;
    let refusal = match &filesystem.keeps_locks {
        KeepsLocks::NotKept(why) => Some(format!("{filesystem} does not keep locks: {why}")),
        _ if filesystem.wants_probe() => {
            filesystem::probe(dir.real()).ok().and_then(|report| report.refusal())
        }
        _ => None,
    };
    refusal.map(|reason| {
        let advice = "move the sessions to a filesystem that keeps locks, or mount it so";
        Finding::reported(dir.named.to_path_buf(), Problem::LocksNotKept { reason }, advice)
    })
}

fn mode_of(dir: &Directory, scope: Scope) -> Option<Finding> {
    let stat = stat_path(dir.real()).ok()??;
    let (mode, right) = modes::wrong(&stat)?;
    let treatment = if scope.fix {
        match sys::set_mode(dir.real(), stat.id, right) {
            Ok(()) => Treatment::Done { remedy: Remedy::SetMode, note: None },
            Err(error) => Treatment::Failed { error: error.to_string() },
        }
    } else {
        Treatment::Would { remedy: Remedy::SetMode }
    };
    Some(Finding::new(dir.named.to_path_buf(), Problem::WrongMode { mode, right }, treatment))
}

/// Paths may mean a directory twice, or also one of its sessions.
fn each_once(opened: Vec<(Target, Ward)>) -> Vec<Ward> {
    let whole: HashSet<_> = opened
        .iter()
        .filter(|(target, _)| target.only.is_none())
        .map(|(_, ward)| ward.real.clone())
        .collect();
    let mut seen: HashMap<PathBuf, HashSet<Option<OsString>>> = HashMap::new();
    let mut wards = Vec::new();
    for (target, ward) in opened {
        let covered = target.only.is_some() && whole.contains(&ward.real);
        if !covered && seen.entry(ward.real.clone()).or_default().insert(target.only) {
            wards.push(ward);
        }
    }
    wards
}
