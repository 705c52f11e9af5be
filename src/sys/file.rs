//! Files by their descriptors: identity, metadata, and positioned reads and writes.
//!
//! No other room has the number of a file in its hands: a filesystem gives the number of a removed
//! file to the next one. Files are compared as [`Pinned`] ones, which are open.

#[cfg_attr(target_os = "linux", path = "file/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "file/portable.rs")]
mod system;

mod pinned;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};

use super::user::User;

/// Added to every open. It follows no link, waits for no pipe or terminal, and no child inherits
/// the descriptor by accident.
pub(super) const CAREFUL: OFlags =
    OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

pub(crate) use pinned::{Found, Pinned, Trace};

/// The number of a file. It is the identity of the file only as long as somebody has the file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) number: u64,
}

/// The kind of what a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A regular file.
    File,
    Directory,
    /// A link, a pipe, a socket or a device.
    Other,
}

/// The metadata of a file at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(super) id: FileId,
    pub(crate) kind: FileKind,
    /// The length in bytes.
    pub(crate) len: u64,
    /// The number of its names.
    pub(crate) links: u64,
    /// When it was last written to, as time since 1970; zero if that was earlier.
    pub(crate) modified: Duration,
    /// The permission bits; `None` on a system whose files have none.
    pub(crate) mode: Option<u32>,
    pub(crate) owner: User,
    pub(super) group: u32,
}

impl Stat {
    /// The widths and signs of these fields differ between systems and processors.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless, clippy::useless_conversion)]
    pub(super) fn from(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            _ => FileKind::Other,
        };
        Self {
            id: FileId { device: stat.st_dev as u64, number: stat.st_ino as u64 },
            kind,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            links: stat.st_nlink as u64,
            modified: Duration::new(
                u64::try_from(stat.st_mtime).unwrap_or(0),
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            mode: Some(u32::from(stat.st_mode) & 0o7777),
            owner: User::of_number(stat.st_uid),
            group: stat.st_gid,
        }
    }
}

/// Returns the metadata of an open file.
pub(crate) fn stat(file: &File) -> io::Result<Stat> {
    Ok(Stat::from(&rustix::fs::fstat(file)?))
}

/// Describes in words, for a message, a kind that is not a regular file.
pub(crate) fn kind_of(kind: std::fs::FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Opens a file for reading. Follows no link, and never waits, whatever the path names.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | CAREFUL, Mode::empty())?.into())
}

/// Sets the permission bits of the file in this directory to what `right` says of it; `None` if
/// they are right as they are. An error of `right` is returned. Follows no link.
pub(super) fn set_mode(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    right: impl FnOnce(&Stat) -> io::Result<Option<u32>>,
) -> io::Result<()> {
    system::set_mode(dir, name, right)
}

/// Sets the permission bits of an open file, also of one that is open for its name only.
pub(super) fn set_mode_of(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    system::set_mode_of(file, mode)
}

/// Reads some bytes at `offset`, and returns how many; 0 at the end of the file. Neither uses nor
/// moves the cursor.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Fills `buffer` with the bytes at `offset`.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Returns how long the hole at `offset` is: a part of the file that takes no room, and is read as
/// NUL. 0 if there is none, or none can be seen. Neither uses nor moves the cursor.
pub(crate) fn hole_at(file: &File, offset: u64) -> u64 {
    system::hole_at(file, offset).unwrap_or(0)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}
