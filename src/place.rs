//! Where a session lives: its canonical paths, and the flags with which its files are opened.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::error::{Context, Error, Result};

/// Added to every open: no link is followed, no FIFO or terminal makes us wait, no child inherits by accident.
pub(crate) const CAREFUL: OFlags =
    OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A session's files, with the directory resolved, so that one session has one place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The lock path; the session's is its beginning.
    lock: Arc<Path>,
}

const LOCK_SUFFIX: &[u8] = b".lock";

impl Place {
    /// Resolves the directory of `session`. With `create` a missing directory is made (0700) and synced.
    pub(crate) fn resolve(session: &Path, create: bool) -> Result<Self> {
        let refuse = |reason| Error::NotASession { path: session.to_owned(), reason };
        let name = session.file_name().ok_or_else(|| refuse("it has no file name"))?;
        if !name.as_bytes().ends_with(b".jsonl") || name.len() == b".jsonl".len() {
            return Err(refuse("its name must end in `.jsonl`"));
        }
        if session.as_os_str().as_bytes().contains(&0) {
            return Err(refuse("its name contains a NUL byte"));
        }
        Self::beside(session, name, create)
    }

    /// The place of a gateway's lock, `<dir>/gateway.<key>.lock`. What is the session elsewhere is an empty file here, which
    /// exists for its data lock only.
    #[cfg(feature = "gateway")]
    pub(crate) fn of_gateway(lock: &Path, create: bool) -> Result<Self> {
        let refuse = |reason| Error::NotALockFile { path: lock.to_owned(), reason };
        let name =
            gateway_name(lock).ok_or_else(|| refuse("its name is not that of a gateway lock"))?;
        Self::beside(lock, OsStr::from_bytes(name), create)
    }

    /// Whether it is a gateway's.
    pub(crate) fn is_gateway(&self) -> bool {
        is_gateway_lock(&self.lock)
    }

    fn beside(path: &Path, name: &OsStr, create: bool) -> Result<Self> {
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let real = match dir.canonicalize() {
            Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
                create_dirs(dir).context("create the directory", dir)?;
                dir.canonicalize()
            }
            other => other,
        }
        .context("find the directory", dir)?;
        let mut lock = real.join(name).into_os_string();
        lock.push(OsStr::from_bytes(LOCK_SUFFIX));
        Ok(Self { lock: Arc::from(PathBuf::from(lock)) })
    }

    /// The place of a lock file in a directory that is resolved already.
    pub(crate) fn of_lock_in(real: &Path, name: &OsStr) -> Self {
        Self { lock: Arc::from(real.join(name)) }
    }

    pub(crate) fn lock(&self) -> &Path {
        &self.lock
    }

    pub(crate) fn session(&self) -> &Path {
        let bytes = self.lock.as_os_str().as_bytes();
        Path::new(OsStr::from_bytes(&bytes[..bytes.len() - LOCK_SUFFIX.len()]))
    }

    pub(crate) fn dir(&self) -> &Path {
        self.lock.parent().unwrap_or(Path::new("/"))
    }
}

/// Whether a path is that of a gateway's lock.
pub(crate) fn is_gateway_lock(path: &Path) -> bool {
    gateway_name(path).is_some()
}

/// `gateway.<key>` of a lock path `gateway.<key>.lock`. Other keys are other programs'.
fn gateway_name(lock: &Path) -> Option<&[u8]> {
    let name = lock.file_name()?.as_bytes().strip_suffix(LOCK_SUFFIX)?;
    let key = name.strip_prefix(b"gateway.")?;
    let is_hash =
        key.len() == 8 && key.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hash || key == b"state").then_some(name)
}

/// Creates what is missing of `dir`, private to the user, each entry synced; also one that somebody else
/// made in the meantime, who may have died before the sync.
pub(crate) fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dirs(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    give_to_owner_of(parent, &File::open(dir)?)?;
    File::open(parent)?.sync_all()
}

/// Where root creates files in somebody's directory, they get the directory's owner.
pub(crate) fn give_to_owner_of(dir: &Path, file: &File) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(dir)?;
    if owner.uid() != 0 {
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Device and inode: which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl FileId {
    pub(crate) fn of(stat: &rustix::fs::Stat) -> Self {
        Self { dev: stat.st_dev, ino: stat.st_ino }
    }

    /// Which file `path` names right now, links not followed; `None` if it names none.
    pub(crate) fn named_by(path: &Path) -> io::Result<Option<Self>> {
        Ok(stat_named(path)?.as_ref().map(Self::of))
    }
}

/// The status of what `path` names, links not followed.
pub(crate) fn stat_named(path: &Path) -> io::Result<Option<rustix::fs::Stat>> {
    match rustix::fs::lstat(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
