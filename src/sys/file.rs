//! Files by their descriptors: which file it is, what is known of it, and positioned I/O.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// Added to every open: it follows no link, waits for no pipe or terminal, and no child inherits
/// the descriptor by accident.
pub(super) const CAREFUL: OFlags =
    OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Which filesystem a file is on, as the kernel numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Device(pub(super) u64);

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: Device,
    number: u64,
}

impl FileId {
    /// The filesystem that the file is on.
    pub(crate) fn device(self) -> Device {
        self.device
    }

    /// The file as `/proc/locks` names it.
    pub(super) fn in_proc_locks(self) -> String {
        let device = self.device.0;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        format!("{major:02x}:{minor:02x}:{}", self.number)
    }
}

/// What a path can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A regular file.
    File,
    Directory,
    /// A link, a pipe, a socket or a device.
    Other,
}

/// What is known of a file at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) id: FileId,
    pub(crate) kind: FileKind,
    /// In bytes.
    pub(crate) len: u64,
    /// How many names it has.
    pub(crate) links: u64,
    /// When it was written to last, since 1970; zero for a time before that.
    pub(crate) modified: Duration,
    /// The permission bits; `None` where files have none.
    pub(crate) mode: Option<u32>,
}

impl Stat {
    /// Widths and signs of these fields differ between systems and processors.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless, clippy::useless_conversion)]
    pub(super) fn from(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            _ => FileKind::Other,
        };
        Self {
            id: FileId { device: Device(stat.st_dev as u64), number: stat.st_ino as u64 },
            kind,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            links: stat.st_nlink as u64,
            modified: Duration::new(
                u64::try_from(stat.st_mtime).unwrap_or(0),
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            mode: Some(u32::from(stat.st_mode) & 0o7777),
        }
    }
}

/// What is known of an open file.
pub(crate) fn stat(file: &File) -> io::Result<Stat> {
    Ok(Stat::from(&rustix::fs::fstat(file)?))
}

/// What is known of what `path` names, links not followed; `None` if it names nothing.
pub(crate) fn stat_path(path: &Path) -> io::Result<Option<Stat>> {
    match rustix::fs::lstat(path) {
        Ok(stat) => Ok(Some(Stat::from(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What `path` names, in words for a message, if it is no regular file.
pub(crate) fn kind_of(kind: std::fs::FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Opens a file for reading. Follows no link and waits for nothing, whatever the path names.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | CAREFUL, Mode::empty())?.into())
}

/// Sets the permission bits of the very file that was looked at, if the path still names it.
pub(crate) fn set_mode(path: &Path, looked_at: FileId, mode: u32) -> io::Result<()> {
    // Named, not opened: its mode may forbid the opening.
    let named = File::from(rustix::fs::open(path, OFlags::PATH | CAREFUL, Mode::empty())?);
    if stat(&named)?.id != looked_at {
        return Err(io::Error::other("another file stands there by now"));
    }
    let by_descriptor = format!("/proc/self/fd/{}", named.as_raw_fd());
    std::fs::set_permissions(by_descriptor, Permissions::from_mode(mode))
}

/// Reads some bytes at `offset`; 0 at the end of the file. Neither uses nor moves the cursor.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Fills `buffer` from `offset`.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}
