//! Trying the locks of a directory, with files of its own.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use uuid::Uuid;

/// What a directory turned out to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    /// The first thing that makes it unfit.
    pub fault: Option<Fault>,
    pub hard_links: bool,
    /// `O_TMPFILE`, and a name given to such a file afterwards.
    pub unnamed_files: bool,
    /// A rename that refuses to replace. NFS has none, and has hard links.
    pub exclusive_rename: bool,
}

/// A promise of `flock` that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call itself fails.
    Refused(Errno),
    /// One lock for two.
    GrantedTwice,
    /// Let go, and still not to be had.
    NeverFree,
    /// The file's number is another one after a link or a rename, so that nobody could tell whether a path still names the
    /// file that he has locked.
    NumberChanged,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "flock fails ({error})"),
            Self::GrantedTwice => f.write_str("a locked file could be locked a second time"),
            Self::NeverFree => f.write_str("a lock that was let go could not be had again"),
            Self::NumberChanged => {
                f.write_str("inode numbers change when a file is linked or renamed")
            }
        }
    }
}

/// A trial either learns something, finds a fault, or cannot go on.
enum Stop {
    Fault(Fault),
    Error(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Error(error)
    }
}

impl Trial {
    /// # Errors
    ///
    /// When `dir` cannot be written to.
    pub(super) fn run(dir: &Path) -> io::Result<Self> {
        let files = Files::new(dir);
        let mut trial = Self {
            fault: None,
            hard_links: false,
            unnamed_files: unnamed_files(dir, &files.unnamed),
            exclusive_rename: false,
        };
        match trial.locks(&files) {
            Ok(()) => {}
            Err(Stop::Fault(fault)) => trial.fault = Some(fault),
            Err(Stop::Error(error)) => return Err(error),
        }
        Ok(trial)
    }

    /// The lock is taken on the descriptor that made the file: this is where shared folders of Docker Desktop failed.
    fn locks(&mut self, files: &Files) -> Result<(), Stop> {
        let file = open(&files.first, true)?;
        if !locked(&file)? {
            return Err(Stop::Fault(Fault::NeverFree));
        }
        refused(&files.first)?;
        same_number(&file, &files.first)?;

        self.hard_links = fs::hard_link(&files.first, &files.linked).is_ok();
        if self.hard_links {
            same_number(&file, &files.linked)?;
            refused(&files.linked)?;
        }

        self.exclusive_rename = exclusive_rename(&files.first, &files.renamed);
        // SMB may refuse to rename what is open; that is no matter of locks.
        let moved = self.exclusive_rename || fs::rename(&files.first, &files.renamed).is_ok();
        let name = if moved { &files.renamed } else { &files.first };
        same_number(&file, name)?;
        refused(name)?;

        flock(&file, FlockOperation::Unlock).map_err(|error| Stop::Fault(Fault::Refused(error)))?;
        if locked(&open(name, false)?)? { Ok(()) } else { Err(Stop::Fault(Fault::NeverFree)) }
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    // For writing too: NFS locks no other descriptors.
    OpenOptions::new().read(true).write(true).create_new(create).mode(0o600).open(path)
}

/// Tries the lock: `false` if somebody else has it.
fn locked(file: &File) -> Result<bool, Stop> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Stop::Fault(Fault::Refused(error))),
        }
    }
}

/// The file at `path` is locked, so another open must not get the lock.
fn refused(path: &Path) -> Result<(), Stop> {
    if locked(&open(path, false)?)? { Err(Stop::Fault(Fault::GrantedTwice)) } else { Ok(()) }
}

fn same_number(file: &File, path: &Path) -> Result<(), Stop> {
    let (held, named) = (file.metadata()?, fs::symlink_metadata(path)?);
    if (held.dev(), held.ino()) == (named.dev(), named.ino()) {
        Ok(())
    } else {
        Err(Stop::Fault(Fault::NumberChanged))
    }
}

/// Whether a lock file can be made complete before it has a name.
#[cfg(target_os = "linux")]
fn unnamed_files(dir: &Path, name: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    use std::os::fd::AsRawFd;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(file) = open(dir, flags, Mode::RUSR | Mode::WUSR) else {
        return false;
    };
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, unnamed, CWD, name, AtFlags::SYMLINK_FOLLOW).is_ok()
        && same_number(&File::from(file), name).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn unnamed_files(_dir: &Path, _name: &Path) -> bool {
    false
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn exclusive_rename(from: &Path, to: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).is_ok()
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn exclusive_rename(_from: &Path, _to: &Path) -> bool {
    false
}

/// The names of a trial, removed at its end however it ends.
struct Files {
    first: PathBuf,
    linked: PathBuf,
    renamed: PathBuf,
    unnamed: PathBuf,
}

impl Files {
    /// No name here ends like a lock file's: a sweep, ours or somebody else's, takes no notice.
    fn new(dir: &Path) -> Self {
        let id = Uuid::now_v7();
        let name = |what: &str| dir.join(format!(".turnlock-probe-{id}-{what}"));
        Self { first: name("a"), linked: name("b"), renamed: name("c"), unnamed: name("d") }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.first, &self.linked, &self.renamed, &self.unnamed] {
            // Most of them are not there.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(result: Result<(), Stop>) -> Option<Fault> {
        match result {
            Ok(()) => None,
            Err(Stop::Fault(fault)) => Some(fault),
            Err(Stop::Error(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn faults_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let file = open(&files.first, true).unwrap();
        assert_eq!(fault(refused(&files.first)), Some(Fault::GrantedTwice));
        assert!(locked(&file).is_ok_and(|granted| granted));
        assert_eq!(fault(refused(&files.first)), None);
        assert_eq!(fault(same_number(&file, &files.first)), None);
        open(&files.linked, true).unwrap();
        assert_eq!(fault(same_number(&file, &files.linked)), Some(Fault::NumberChanged));
    }

    #[test]
    fn nothing_stays_behind_after_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        for path in [&files.first, &files.linked, &files.renamed, &files.unnamed] {
            assert!(!path.to_string_lossy().ends_with(".jsonl.lock"));
            open(path, true).unwrap();
        }
        drop(files);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
