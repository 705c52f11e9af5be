//! Directories with what every Unix has.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::Facts;

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

/// Any open descriptor can change the owner.
pub(super) fn to_change_owner(dir: &OwnedFd) -> io::Result<OwnedFd> {
    dir.try_clone()
}

pub(super) fn create_unnamed(_dir: BorrowedFd<'_>) -> io::Result<Option<File>> {
    Ok(None)
}

pub(super) fn name_unnamed(_dir: BorrowedFd<'_>, _file: &File, _name: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_vendor = "apple")]
pub(super) fn rename_to_free(dir: BorrowedFd<'_>, old: &OsStr, new: &OsStr) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    match renameat_with(dir, old, dir, new, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        renamed => Ok(renamed?),
    }
}

#[cfg(not(target_vendor = "apple"))]
pub(super) fn rename_to_free(_dir: BorrowedFd<'_>, _old: &OsStr, _new: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
