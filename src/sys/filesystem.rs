//! Does the filesystem of a directory keep `flock`?
//!
//! Everything rests on it, and some mounts do not: NFS that keeps locks on each client for itself, shared folders of virtual
//! machines, some FUSE filesystems. Two looks: what the mount says of itself ([`filesystem`], nothing is written), and a
//! trial ([`probe`]). The trial sees one machine only; that a network mount keeps locks *between* hosts, only its
//! options can tell.

mod devices;
mod knowledge;
mod mountinfo;
mod trial;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use devices::{ask_mount, is_local, is_remote, marks_usable, refusal};
pub(crate) use knowledge::{KeepsLocks, Locality};
pub(crate) use trial::Trial;

use mountinfo::Mount;

/// The filesystem that a directory lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filesystem {
    /// `ext4`, `nfs4`, `fuse.sshfs`, …; `unknown`, or the number of its kind, where nothing more can be learned.
    pub kind: String,
    pub locality: Locality,
    /// Where it is mounted, as far as `/proc/self/mountinfo` can be read; likewise the next two.
    pub mount_point: Option<PathBuf>,
    /// What is mounted: a device, `server:/export`, a tag.
    pub source: Option<String>,
    /// The options of the mount, then those of the filesystem, with commas between.
    pub options: Option<String>,
    /// What kind and options say.
    pub keeps_locks: KeepsLocks,
}

impl Filesystem {
    fn new(magic: Option<u32>, mount: Option<Mount>) -> Self {
        let named = magic.and_then(knowledge::name_of);
        // The mount table knows more than the number: ext2, ext3 and ext4 share one, virtiofs and all of FUSE another.
        let kind = match (&mount, named, magic) {
            (Some(mount), ..) => mount.kind.clone(),
            (None, Some(name), _) => name.to_owned(),
            (None, None, Some(magic)) => format!("{magic:#x}"),
            (None, None, None) => "unknown".to_owned(),
        };
        let options = mount.as_ref().map(Mount::all_options);
        Self {
            locality: knowledge::locality(&kind),
            keeps_locks: knowledge::keeps_locks(&kind, options.as_deref()),
            kind,
            options,
            source: mount.as_ref().map(|mount| mount.source.clone()),
            mount_point: mount.map(|mount| mount.point),
        }
    }

    /// Whether a trial is worth its time before the first lock.
    pub(crate) fn wants_probe(&self) -> bool {
        self.locality != Locality::Local
    }
}

/// For messages: `nfs4 filesystem server:/export mounted at /mnt/x`.
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

/// Looks up the filesystem of `dir`, which must exist.
pub(crate) fn filesystem(dir: &Path) -> io::Result<Filesystem> {
    let dir = dir.canonicalize()?;
    #[cfg(target_os = "linux")]
    {
        // The number is 32 bits wide, in a field whose width and sign depend on the processor.
        let magic = rustix::fs::statfs(&dir)?.f_type as u32;
        Ok(Filesystem::new(Some(magic), mountinfo::of(&dir)))
    }
    #[cfg(not(target_os = "linux"))]
    Ok(Filesystem::new(None, None))
}

/// What the mount says and what a trial showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeReport {
    pub filesystem: Filesystem,
    pub trial: Trial,
}

impl ProbeReport {
    /// Both together. [`KeepsLocks::Unknown`]: processes of this machine are kept apart, those of others perhaps not.
    pub(crate) fn keeps_locks(&self) -> KeepsLocks {
        match &self.trial.fault {
            Some(fault) => KeepsLocks::NotKept(fault.to_string()),
            None => self.filesystem.keeps_locks.clone(),
        }
    }

    /// Why the directory cannot be used, in a sentence that names the mount; `None` if it can.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self.keeps_locks() {
            KeepsLocks::NotKept(why) => {
                Some(format!("{} does not keep locks: {why}", self.filesystem))
            }
            KeepsLocks::Kept | KeepsLocks::Unknown => None,
        }
    }
}

/// Looks up the filesystem of `dir` and tries its locks, on files of its own that are gone afterwards.
///
/// # Errors
///
/// When `dir` does not exist or cannot be written to. Locks that are not kept are no error but a finding.
pub(crate) fn probe(dir: &Path) -> io::Result<ProbeReport> {
    Ok(ProbeReport { filesystem: filesystem(dir)?, trial: Trial::run(dir)? })
}
