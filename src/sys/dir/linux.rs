//! Directories on Linux: unnamed files, and renames that fail if the name is taken.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

pub(super) use super::walk::open;

/// How a directory is opened: to look up names, which needs no permission to read it.
pub(super) const TO_NAME: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The path of the directory; `None` if it cannot be told, or the directory was removed.
pub(super) fn path_of(dir: BorrowedFd<'_>) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new()).ok()?.into_bytes();
    let is_there = path.first() == Some(&b'/') && !path.ends_with(b" (deleted)");
    is_there.then(|| OsString::from_vec(path).into())
}

pub(super) fn open_file(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let opened = rustix::fs::openat2(dir, name, flags, Mode::empty(), ResolveFlags::NO_XDEV);
    let opened = match opened {
        // The kernel or a sandbox does not know this call.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        opened => opened,
    };
    Ok(opened?.into())
}

pub(super) fn sync_filesystem(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

pub(super) fn create_unnamed(dir: BorrowedFd<'_>) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, ".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn name_unnamed(dir: BorrowedFd<'_>, file: &File, name: &OsStr) -> io::Result<()> {
    let named = match rustix::fs::linkat(file.as_fd(), "", dir, name, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10 this took a privilege. The way through /proc is slower and takes none.
        Err(Errno::NOENT) => {
            let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, by_descriptor, dir, name, AtFlags::SYMLINK_FOLLOW)
        }
        done => done,
    };
    match named {
        // There are no hard links here, or there is no /proc.
        Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        named => Ok(named?),
    }
}

pub(super) fn rename_to_free(dir: BorrowedFd<'_>, old: &OsStr, new: &OsStr) -> io::Result<()> {
    rename_with(RenameFlags::NOREPLACE, dir, old, new)
}

pub(super) fn exchange(dir: BorrowedFd<'_>, one: &OsStr, other: &OsStr) -> io::Result<()> {
    rename_with(RenameFlags::EXCHANGE, dir, one, other)
}

fn rename_with(
    flags: RenameFlags,
    dir: BorrowedFd<'_>,
    old: &OsStr,
    new: &OsStr,
) -> io::Result<()> {
    match rustix::fs::renameat_with(dir, old, dir, new, flags) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        renamed => Ok(renamed?),
    }
}
