//! What there is to be examined: directories, and in each its sessions with what stands beside them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::sessions::sweep::leftover::{self, Leftover};
use crate::sessions::sweep::look::{Directory, is_lock, session_name};
use crate::sessions::sweep::pool::Pulse;
use crate::sys::strip_suffix;

/// What has the name of one session, or of none.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) lock: Option<OsString>,
    pub(super) transcript: Option<OsString>,
    pub(super) leftovers: Vec<(OsString, Leftover)>,
}

impl Entry {
    /// The name to call it by.
    pub(super) fn name(&self) -> &OsStr {
        let leftover = self.leftovers.first().map(|(name, _)| name);
        self.transcript
            .as_ref()
            .or(self.lock.as_ref())
            .or(leftover)
            .map_or(OsStr::new(""), OsString::as_os_str)
    }
}

/// The directories in and below `path` that hold sessions, by OpenClaw's layout: those of a state directory, of an agent, or `path` itself.
///
/// Links are not followed, but for `path` itself: they could lead anywhere.
pub(super) fn directories_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let agents = path.join("agents");
    if is_directory(&agents) {
        let mut names: Vec<_> = std::fs::read_dir(&agents)?.collect::<io::Result<Vec<_>>>()?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        for agent in names {
            let sessions = agent.path().join("sessions");
            if is_directory(&agent.path()) && sessions.symlink_metadata().is_ok() {
                found.push(sessions);
            }
        }
    }
    let sessions = path.join("sessions");
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

/// The entries of a directory by their sessions' names; of one session alone if `only` names it.
pub(super) fn entries_of(
    dir: &Directory,
    only: Option<&OsStr>,
    pulse: &Pulse,
) -> Result<Vec<Entry>> {
    let mut sessions: BTreeMap<OsString, Entry> = BTreeMap::new();
    for name in dir.names()? {
        pulse.beat();
        let name = name?;
        let Some((session, kind)) = classify(&name) else { continue };
        if only.is_some_and(|only| only != session) {
            continue;
        }
        let entry = sessions.entry(session).or_default();
        match kind {
            Kind::Lock => entry.lock = Some(name),
            Kind::Transcript => entry.transcript = Some(name),
            Kind::Leftover(leftover) => entry.leftovers.push((name, leftover)),
        }
    }
    Ok(sessions.into_values().collect())
}

enum Kind {
    Lock,
    Transcript,
    Leftover(Leftover),
}

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
