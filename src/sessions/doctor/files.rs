//! The files to be examined: directories of sessions, and the files of each session in them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use crate::compat::openclaw;
use crate::error::Result;
use crate::sessions::sweep::leftover::{self, Leftover};
use crate::sessions::sweep::look::{Directory, is_lock, session_name};
use crate::sessions::sweep::pool::{Entry, Heartbeat};
use crate::sys::strip_suffix;

/// The files of one session. A leftover that names no session has an entry of its own.
#[derive(Debug, Clone)]
pub(super) struct SessionFiles {
    pub(super) dir: Directory,
    pub(super) lock: Option<OsString>,
    pub(super) transcript: Option<OsString>,
    pub(super) leftovers: Vec<(OsString, Leftover)>,
}

impl SessionFiles {
    fn new(dir: &Directory) -> Self {
        Self { dir: dir.clone(), lock: None, transcript: None, leftovers: Vec::new() }
    }

    /// Whether there is a session, and not only leftovers.
    pub(super) fn is_session(&self) -> bool {
        self.lock.is_some() || self.transcript.is_some()
    }

    /// The path that stands for all of them in a report.
    pub(super) fn named(&self) -> PathBuf {
        self.dir.named.join(self.name())
    }

    fn name(&self) -> &OsStr {
        let leftover = self.leftovers.first().map(|(name, _)| name);
        let name = self.transcript.as_ref().or(self.lock.as_ref()).or(leftover);
        name.map_or(OsStr::new(""), OsString::as_os_str)
    }

    fn add(&mut self, name: OsString, kind: Kind) {
        match kind {
            Kind::Lock => self.lock = Some(name),
            Kind::Transcript => self.transcript = Some(name),
            Kind::Leftover(leftover) => self.leftovers.push((name, leftover)),
        }
    }
}

impl Entry for SessionFiles {
    fn path(&self) -> PathBuf {
        self.dir.real().join(self.name())
    }
}

/// The directories of sessions in and below `path`, by OpenClaw's layout. `path` may be a state
/// directory, the directory of an agent, or a directory of sessions.
///
/// Links below `path` are returned, for the caller to report. They are not followed, because they
/// could lead anywhere.
pub(super) fn session_directories(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let agents = path.join(openclaw::AGENTS);
    if is_directory(&agents) {
        let mut names: Vec<_> = std::fs::read_dir(&agents)?.collect::<io::Result<Vec<_>>>()?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        for agent in names {
            let sessions = agent.path().join(openclaw::SESSIONS);
            if is_directory(&agent.path()) && sessions.symlink_metadata().is_ok() {
                found.push(sessions);
            }
        }
    }
    let sessions = path.join(openclaw::SESSIONS);
    if sessions.symlink_metadata().is_ok() {
        found.push(sessions);
    }
    if found.is_empty() {
        found.push(path.to_owned());
    }
    Ok(found)
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|facts| facts.is_dir())
}

/// The sessions in a directory, sorted by name. If `only` names one, no other. And how many files
/// are no sessions, whatever their names say.
pub(super) fn sessions_in(
    dir: &Directory,
    only: Option<&OsStr>,
    heartbeat: &Heartbeat,
) -> Result<(Vec<SessionFiles>, usize)> {
    let mut left_alone = 0;
    let mut sessions: BTreeMap<OsString, SessionFiles> = BTreeMap::new();
    for name in dir.names()? {
        heartbeat.beat();
        let name = name?;
        if openclaw::is_set_aside(&name) && only.is_none_or(|only| only != name) {
            left_alone += usize::from(only.is_none());
            continue;
        }
        let Some((session, kind)) = classify(&name) else { continue };
        if only.is_none_or(|only| only == session) {
            sessions.entry(session).or_insert_with(|| SessionFiles::new(dir)).add(name, kind);
        }
    }
    Ok((sessions.into_values().collect(), left_alone))
}

enum Kind {
    Lock,
    Transcript,
    Leftover(Leftover),
}

/// The session that a file of this name belongs to, and the kind of file. `None` for other files.
fn classify(name: &OsStr) -> Option<(OsString, Kind)> {
    if is_lock(name) {
        return Some((session_name(name), Kind::Lock));
    }
    if let Some(leftover) = Leftover::of(name) {
        let session = leftover::session_of(Path::new(name))
            .map_or_else(|| name.to_owned(), PathBuf::into_os_string);
        return Some((session, Kind::Leftover(leftover)));
    }
    let is_transcript = strip_suffix(name, ".jsonl").is_some_and(|name| !name.is_empty());
    is_transcript.then(|| (name.to_owned(), Kind::Transcript))
}
