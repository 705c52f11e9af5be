//! Files on Linux: a descriptor that names a file without opening it.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::{CAREFUL, Stat, stat};

pub(super) fn set_mode(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    right: impl FnOnce(&Stat) -> io::Result<Option<u32>>,
) -> io::Result<()> {
    // The file's mode may forbid opening it, so it is only named.
    let named = File::from(rustix::fs::openat(dir, name, OFlags::PATH | CAREFUL, Mode::empty())?);
    match right(&stat(&named)?)? {
        Some(mode) => set_mode_of(named.as_fd(), mode),
        None => Ok(()),
    }
}

pub(super) fn set_mode_of(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::set_permissions(by_descriptor, Permissions::from_mode(mode))
}

pub(super) fn hole_at(file: &File, offset: u64) -> io::Result<u64> {
    // A seek moves the cursor, and others may use that of this descriptor.
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let careful = OFlags::RDONLY | CAREFUL.difference(OFlags::NOFOLLOW);
    let own = rustix::fs::open(by_descriptor, careful, Mode::empty())?;
    let end = match rustix::fs::seek(&own, SeekFrom::Data(offset)) {
        // Nothing but a hole follows.
        Err(Errno::NXIO) => stat(file)?.len,
        end => end?,
    };
    Ok(end.saturating_sub(offset))
}
