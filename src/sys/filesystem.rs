//! Whether the filesystem of a directory keeps `flock`.
//!
//! The protocol depends on it, and some mounts do not keep it: NFS with locks local to each client,
//! shared folders of virtual machines, some FUSE filesystems. There are two ways to find out.
//! [`filesystem`] looks at what the mount says of itself, and writes nothing. [`probe`] also tries
//! the locks. A trial sees one machine only: whether a network mount keeps locks *between* hosts
//! can be told only by its options.

mod knowledge;
#[cfg(target_os = "linux")]
mod linux;
mod mounts;
#[cfg(not(target_os = "linux"))]
mod portable;
mod remedy;
mod trial;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Dir;
pub(crate) use knowledge::{KeepsLocks, Locality};
pub(super) use mounts::Known;
pub(crate) use mounts::{
    ask_mount, is_known_to_be_local, is_known_to_be_served, is_local, is_remote, is_served,
    marks_usable, refusal, wakes_waiters,
};
pub(crate) use trial::Trial;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

/// The filesystem that a directory is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filesystem {
    /// `ext4`, `nfs4`, `fuse.sshfs`, …; where the name of the kind cannot be learned, its number or
    /// `unknown`.
    pub kind: String,
    pub locality: Locality,
    /// Where it is mounted. `None` if the mount table cannot be read; so are the next two.
    pub mount_point: Option<PathBuf>,
    /// What is mounted: a device, `server:/export`, a tag.
    pub source: Option<String>,
    /// The options of the mount, then those of the filesystem, separated by commas.
    pub options: Option<String>,
    /// What the kind and the options say.
    pub keeps_locks: KeepsLocks,
}

impl Filesystem {
    /// A filesystem of which no more is known than its kind and its options.
    fn of_kind(kind: String, options: Option<String>) -> Self {
        Self {
            locality: knowledge::locality(&kind),
            keeps_locks: knowledge::keeps_locks(&kind, options.as_deref()),
            kind,
            options,
            source: None,
            mount_point: None,
        }
    }

    /// Whether it is on a server that keeps the locks too.
    pub(crate) fn is_served(&self) -> bool {
        knowledge::is_served(&self.kind) && self.keeps_locks == KeepsLocks::Kept
    }

    /// Why it cannot be used, as a sentence that names the mount, and what can be instead.
    pub(crate) fn refused(&self, why: &str) -> String {
        let remedy = remedy::remedy(&self.kind);
        format!("{self} does not keep locks: {why}; {remedy}")
    }

    /// Whether its locks need a trial before the first use.
    pub(crate) fn wants_probe(&self) -> bool {
        self.locality != Locality::Local
    }
}

/// Formats it for messages: `nfs4 filesystem server:/export mounted at /mnt/x`.
impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} filesystem", self.kind)?;
        if let Some(source) = &self.source {
            write!(f, " {source}")?;
        }
        match &self.mount_point {
            Some(point) => write!(f, " mounted at {}", point.display()),
            None => Ok(()),
        }
    }
}

/// Looks up the filesystem of `dir`. Writes nothing.
///
/// # Errors
/// If `dir` cannot be looked at.
pub(crate) fn filesystem(dir: &Dir) -> io::Result<Filesystem> {
    system::filesystem(dir)
}

/// Returns the mount point above `path` by the text of the path alone: nothing on the mount is
/// asked. Links in the path mislead it.
pub(crate) fn mount_point(path: &Path) -> Option<PathBuf> {
    system::mount_point(&std::path::absolute(path).ok()?)
}

/// What the mount says, and what a trial showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeReport {
    pub filesystem: Filesystem,
    pub trial: Trial,
}

impl ProbeReport {
    /// The verdict of both. [`KeepsLocks::Unknown`] means that locks hold between processes of this
    /// machine, and perhaps not between machines.
    pub(crate) fn keeps_locks(&self) -> KeepsLocks {
        match &self.trial.fault {
            Some(fault) => KeepsLocks::NotKept(fault.to_string()),
            None => self.filesystem.keeps_locks.clone(),
        }
    }

    /// Why the directory cannot be used, as a sentence that names the mount; `None` if it can.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self.keeps_locks() {
            KeepsLocks::NotKept(why) => Some(self.filesystem.refused(&why)),
            KeepsLocks::Kept | KeepsLocks::Unknown => None,
        }
    }
}

/// Looks up the filesystem of `dir` and tries its locks, with files of its own that it removes.
///
/// # Errors
/// If `dir` cannot be written to. Locks that are not kept are reported in the [`ProbeReport`], not
/// as an error.
pub(crate) fn probe(dir: &Dir) -> io::Result<ProbeReport> {
    Ok(ProbeReport { filesystem: filesystem(dir)?, trial: Trial::run(dir)? })
}
