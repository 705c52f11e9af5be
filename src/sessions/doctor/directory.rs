//! The directories that paths name: each is opened once, and examined itself.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::files::{self, SessionFiles};
use super::finding::{Finding, Problem, Remedy, Treatment};
use super::{LIMITS, Scope, modes};
use crate::error::Result;
use crate::sessions::sweep::look::{self, Directory};
use crate::sessions::sweep::no_answer;
use crate::sessions::sweep::pool::{self, Entry, Heartbeat};
use crate::sys::filesystem::{self, KeepsLocks};

/// A directory with its sessions, and the findings about the directory itself.
pub(super) struct OpenedDirectory {
    /// Its path, with links resolved.
    real: PathBuf,
    pub(super) sessions: Vec<SessionFiles>,
    /// How many files are no sessions, whatever their names say.
    pub(super) left_alone: usize,
    pub(super) findings: Vec<Finding>,
}

/// Opens the directories that the paths name, each once. What cannot be opened becomes a finding.
pub(super) fn open_all(
    paths: Vec<PathBuf>,
    scope: Scope,
    findings: &mut Vec<Finding>,
) -> Vec<OpenedDirectory> {
    let targets = resolve_all(paths, findings);
    let open =
        move |target: &Target, alive: &Heartbeat| OpenedDirectory::open(target, scope, alive);
    let results = pool::map(targets.clone(), LIMITS, open, |_| {});
    let mut opened = Vec::new();
    for (result, target) in results.into_iter().zip(targets) {
        match result {
            Some(Ok(directory)) => opened.push((target, directory)),
            Some(Err(error)) => findings.push(unreadable(target.dir, error.to_string())),
            None => findings.push(unreadable(target.dir, no_answer())),
        }
    }
    each_once(opened)
}

/// A directory to be examined, or one session in it.
#[derive(Debug, Clone)]
struct Target {
    dir: PathBuf,
    /// The name of the only session to be examined.
    only: Option<OsString>,
    /// The directory was found below a named one. It is not followed if it is a link.
    found: bool,
}

impl Entry for Target {
    fn path(&self) -> PathBuf {
        self.dir.clone()
    }
}

fn resolve_all(paths: Vec<PathBuf>, findings: &mut Vec<Finding>) -> Vec<Target> {
    let resolve = |path: &PathBuf, _: &Heartbeat| resolve(path);
    let results = pool::map(paths.clone(), LIMITS, resolve, |_| {});
    let mut targets = Vec::new();
    for (result, path) in results.into_iter().zip(paths) {
        match result {
            Some(Ok(found)) => targets.extend(found),
            Some(Err(error)) => findings.push(unreadable(path, error.to_string())),
            None => findings.push(unreadable(path, no_answer())),
        }
    }
    targets
}

/// What a path names: directories of sessions, or one session.
fn resolve(path: &Path) -> std::io::Result<Vec<Target>> {
    if path.metadata().is_ok_and(|facts| facts.is_dir()) && !has_session_name(path) {
        let target = |dir: PathBuf| Target { found: dir != path, dir, only: None };
        return Ok(files::session_directories(path)?.into_iter().map(target).collect());
    }
    let (dir, name) = look::split(path).ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok(vec![Target { dir, only: Some(look::session_name(name)), found: false }])
}

fn has_session_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".jsonl") || name.ends_with(b".jsonl.lock")
}

impl OpenedDirectory {
    fn open(target: &Target, scope: Scope, heartbeat: &Heartbeat) -> Result<Self> {
        if target.found && target.dir.is_symlink() {
            return Ok(Self::link(&target.dir));
        }
        let dir = Directory::open(&target.dir)?;
        let (sessions, left_alone) = files::sessions_in(&dir, target.only.as_deref(), heartbeat)?;
        let findings = [check_filesystem(&dir, scope), check_mode(&dir, scope)];
        let findings = findings.into_iter().flatten().collect();
        Ok(Self { real: dir.real().to_owned(), sessions, left_alone, findings })
    }

    /// A symbolic link, which is reported and not followed.
    fn link(path: &Path) -> Self {
        let problem = Problem::UnreadableDirectory { error: "it is a symbolic link".into() };
        let reason = "links are not followed; name its target to have that examined";
        let findings = vec![Finding::reported(path.to_owned(), problem, reason)];
        Self { real: path.to_owned(), sessions: Vec::new(), left_alone: 0, findings }
    }
}

/// Whether the filesystem keeps locks. A local filesystem is known by its kind. On any other, the
/// locks are probed with files that are removed afterwards.
fn check_filesystem(dir: &Directory, scope: Scope) -> Option<Finding> {
    if !scope.locks {
        return None;
    }
    let filesystem = filesystem::filesystem(&dir.open).ok()?;
    let refusal = match &filesystem.keeps_locks {
        KeepsLocks::NotKept(why) => Some(filesystem.refused(why)),
        _ if filesystem.wants_probe() => {
            filesystem::probe(&dir.open).ok().and_then(|report| report.refusal())
        }
        _ => None,
    };
    refusal.map(|reason| {
        let advice = "move the sessions to a filesystem that keeps locks, or mount it so";
        Finding::reported(dir.named.to_path_buf(), Problem::LocksNotKept { reason }, advice)
    })
}

fn check_mode(dir: &Directory, scope: Scope) -> Option<Finding> {
    let stat = dir.open.stat_self().ok()?;
    let (mode, right) = modes::wrong(&stat)?;
    let treatment = if scope.fix {
        Treatment::from_result(Remedy::SetMode, dir.open.set_own_mode(right))
    } else {
        Treatment::Would { remedy: Remedy::SetMode }
    };
    Some(Finding::new(dir.named.to_path_buf(), Problem::WrongMode { mode, right }, treatment))
}

fn unreadable(path: PathBuf, error: String) -> Finding {
    let problem = Problem::UnreadableDirectory { error };
    Finding::reported(path, problem, "nothing in it was examined")
}

/// Removes duplicates: paths may name a directory twice, or name also one of its sessions.
fn each_once(opened: Vec<(Target, OpenedDirectory)>) -> Vec<OpenedDirectory> {
    let whole: HashSet<_> = opened
        .iter()
        .filter(|(target, _)| target.only.is_none())
        .map(|(_, directory)| directory.real.clone())
        .collect();
    let mut seen: HashMap<PathBuf, HashSet<Option<OsString>>> = HashMap::new();
    let mut directories = Vec::new();
    for (target, directory) in opened {
        let covered = target.only.is_some() && whole.contains(&directory.real);
        if !covered && seen.entry(directory.real.clone()).or_default().insert(target.only) {
            directories.push(directory);
        }
    }
    directories
}
