//! Directories with what every Unix has.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::super::file::{FileId, Stat};
use super::{Facts, Opened};

/// How a directory is opened.
pub(super) const TO_NAME: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The path of the directory, where the system tells it by the descriptor.
pub(super) fn path_of(_dir: BorrowedFd<'_>) -> Option<PathBuf> {
    None
}

/// What the system tells of a directory.
pub(super) fn facts_of(dir: BorrowedFd<'_>) -> io::Result<Facts> {
    Ok(Facts::of_stat(&rustix::fs::fstat(dir)?))
}

/// Follows every link: whose it is cannot be told from the link that is followed.
pub(super) fn open(path: &Path) -> io::Result<Opened> {
    Ok(Opened::by_descriptor(rustix::fs::open(path, TO_NAME, Mode::empty())?))
}

pub(super) fn open_file(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> io::Result<File> {
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?.into())
}

/// Syncs the file alone: there is no call for its filesystem.
pub(super) fn sync_filesystem(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

pub(super) fn create_unnamed(_dir: BorrowedFd<'_>) -> io::Result<Option<File>> {
    Ok(None)
}

pub(super) fn name_unnamed(_dir: BorrowedFd<'_>, _file: &File, _name: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_vendor = "apple")]
pub(super) fn move_to_free(
    dir: BorrowedFd<'_>,
    old: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    match renameat_with(dir, old, to, new, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        renamed => Ok(renamed?),
    }
}

#[cfg(not(target_vendor = "apple"))]
pub(super) fn move_to_free(
    _dir: BorrowedFd<'_>,
    _old: &OsStr,
    _to: BorrowedFd<'_>,
    _new: &OsStr,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn exchange(_dir: BorrowedFd<'_>, _one: &OsStr, _other: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The kinds of filesystems are not known here, so that none is taken for a server's.
pub(super) fn ask_server(_dir: BorrowedFd<'_>) {}

/// What a name names.
pub(super) fn id_as_known(dir: BorrowedFd<'_>, name: &OsStr) -> Result<FileId, Errno> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Stat::from(&stat).id)
}
