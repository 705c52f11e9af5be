//! A trial of a directory: whether its filesystem keeps locks, shown with files of its own.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;

use uuid::Uuid;

use super::super::{Access, Dir, Found, Pinned, flock};

/// What a trial of a directory showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trial {
    /// The first broken promise. The directory is unfit for locks if there is one.
    pub fault: Option<Fault>,
    pub hard_links: bool,
    /// Whether a file can be created without a name and be given one afterwards.
    pub unnamed_files: bool,
    /// Whether a rename can fail if the new name is taken. NFS has only hard links for that.
    pub exclusive_rename: bool,
}

/// A promise of `flock` that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails, with this error.
    Refused(String),
    /// Two descriptors had the lock at once.
    GrantedTwice,
    /// The lock could not be taken again after it was unlocked.
    NeverFree,
    /// The file has another identity after a link or a rename. Nobody could tell whether a path
    /// still names the file that is locked.
    NumberChanged,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "flock fails ({error})"),
            Self::GrantedTwice => f.write_str("a locked file could be locked a second time"),
            Self::NeverFree => f.write_str("a lock could not be taken again after it was unlocked"),
            Self::NumberChanged => {
                f.write_str("inode numbers change when a file is linked or renamed")
            }
        }
    }
}

/// Why a trial ends early.
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
    /// Tries the directory. Its files are removed afterwards.
    ///
    /// # Errors
    /// If `dir` cannot be written to.
    pub(super) fn run(dir: &Dir) -> io::Result<Self> {
        let files = Files::new(dir);
        let mut trial = Self {
            fault: None,
            hard_links: false,
            unnamed_files: files.can_be_unnamed(),
            exclusive_rename: false,
        };
        match trial.locks(&files) {
            Ok(()) => {}
            Err(Stop::Fault(fault)) => trial.fault = Some(fault),
            Err(Stop::Error(error)) => return Err(error),
        }
        Ok(trial)
    }

    /// Takes the lock on the descriptor that created the file: this is where shared folders of
    /// Docker Desktop failed.
    fn locks(&mut self, files: &Files<'_>) -> Result<(), Stop> {
        let (file, _) = Pinned::new(files.create(&files.first)?)?;
        if !locked(file.file())? {
            return Err(Stop::Fault(Fault::NeverFree));
        }
        files.refuses(&files.first)?;
        files.is_same(&file, &files.first)?;

        self.hard_links = files.dir.link(&files.first, &files.linked).is_ok();
        if self.hard_links {
            files.is_same(&file, &files.linked)?;
            files.refuses(&files.linked)?;
        }

        self.exclusive_rename = files.dir.rename_to_free(&files.first, &files.renamed).is_ok();
        // SMB may refuse to rename an open file, which says nothing about locks.
        let moved = self.exclusive_rename || files.dir.rename(&files.first, &files.renamed).is_ok();
        let name = if moved { &files.renamed } else { &files.first };
        files.is_same(&file, name)?;
        files.refuses(name)?;

        flock::unlock(file.file());
        if locked(&files.open(name)?)? { Ok(()) } else { Err(Stop::Fault(Fault::NeverFree)) }
    }
}

/// Tries the lock. Returns `false` if another descriptor has it.
fn locked(file: &File) -> Result<bool, Stop> {
    flock::try_lock(file).map_err(|error| Stop::Fault(Fault::Refused(error.to_string())))
}

/// The files of a trial. They are removed when it ends, however it ends.
struct Files<'a> {
    dir: &'a Dir,
    first: OsString,
    linked: OsString,
    renamed: OsString,
    unnamed: OsString,
}

impl<'a> Files<'a> {
    /// No name ends like that of a lock file, so that no sweep takes notice, ours or another's.
    fn new(dir: &'a Dir) -> Self {
        let id = Uuid::now_v7();
        let name = |what: &str| format!(".turnlock-probe-{id}-{what}").into();
        Self { dir, first: name("a"), linked: name("b"), renamed: name("c"), unnamed: name("d") }
    }

    fn create(&self, name: &OsStr) -> io::Result<File> {
        self.dir.create_file(name, Access::ReadWrite)
    }

    /// Opens a file for writing too: NFS locks no other descriptors.
    fn open(&self, name: &OsStr) -> io::Result<File> {
        self.dir.open_file(name, Access::ReadWrite)
    }

    /// Checks that a locked file is not locked a second time.
    fn refuses(&self, name: &OsStr) -> Result<(), Stop> {
        if locked(&self.open(name)?)? { Err(Stop::Fault(Fault::GrantedTwice)) } else { Ok(()) }
    }

    /// Checks that `name` names the open file.
    fn is_same(&self, file: &Pinned, name: &OsStr) -> Result<(), Stop> {
        match self.dir.compare(name, file)? {
            Found::This(_) => Ok(()),
            Found::Other => Err(Stop::Fault(Fault::NumberChanged)),
            Found::Nothing => Err(Stop::Error(io::ErrorKind::NotFound.into())),
        }
    }

    /// Whether a lock file can be complete before it has a name.
    fn can_be_unnamed(&self) -> bool {
        let Ok(Some(file)) = self.dir.create_unnamed() else { return false };
        let Ok((file, _)) = Pinned::new(file) else { return false };
        self.dir.name_unnamed(file.file(), &self.unnamed).is_ok()
            && self.is_same(&file, &self.unnamed).is_ok()
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        for name in [&self.first, &self.linked, &self.renamed, &self.unnamed] {
            // Most of them do not exist.
            let _ = self.dir.remove(name);
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
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::open(temporary.path()).unwrap();
        let files = Files::new(&dir);
        let (file, _) = Pinned::new(files.create(&files.first).unwrap()).unwrap();
        assert_eq!(fault(files.refuses(&files.first)), Some(Fault::GrantedTwice));
        assert!(locked(file.file()).is_ok_and(|granted| granted));
        assert_eq!(fault(files.refuses(&files.first)), None);
        assert_eq!(fault(files.is_same(&file, &files.first)), None);
        files.create(&files.linked).unwrap();
        assert_eq!(fault(files.is_same(&file, &files.linked)), Some(Fault::NumberChanged));
    }

    #[test]
    fn nothing_stays_behind_after_an_error() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::open(temporary.path()).unwrap();
        let files = Files::new(&dir);
        for name in [&files.first, &files.linked, &files.renamed, &files.unnamed] {
            assert!(!name.to_string_lossy().ends_with(".jsonl.lock"));
            files.create(name).unwrap();
        }
        drop(files);
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}
