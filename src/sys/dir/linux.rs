//! Directories on Linux: unnamed files, and renames that fail if the name is taken.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags, StatxTimestamp, statx,
};
use rustix::io::Errno;

use super::super::file::{FileId, Stat};
use super::super::user::User;
pub(super) use super::walk::open;
use super::{Facts, Mount};
/// How a directory is opened: to look up names, which needs no permission to read it.
pub(super) const TO_NAME: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The path of the directory; `None` if it cannot be told, or the directory was removed.
pub(super) fn path_of(dir: BorrowedFd<'_>) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new()).ok()?.into_bytes();
    let is_there = path.first() == Some(&b'/') && !path.ends_with(b" (deleted)");
    is_there.then(|| OsString::from_vec(path).into())
}

/// The flag `STATX_MNT_ID_UNIQUE`: since 6.8, Linux tells an id that it gives to no other mount.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What the system tells of a directory, with one call.
pub(super) fn facts_of(dir: BorrowedFd<'_>) -> io::Result<Facts> {
    let wanted =
        StatxFlags::INO | StatxFlags::UID | StatxFlags::BTIME | StatxFlags::MNT_ID | MNT_ID_UNIQUE;
    let told = match statx(dir, "", AtFlags::EMPTY_PATH, wanted) {
        // An old kernel, or an old filter of system calls.
        Err(Errno::NOSYS | Errno::PERM) => return Ok(Facts::of_stat(&rustix::fs::fstat(dir)?)),
        told => told?,
    };
    let tells = |flag: StatxFlags| told.stx_mask & flag.bits() != 0;
    let device = rustix::fs::makedev(told.stx_dev_major, told.stx_dev_minor);
    let mount = match told.stx_mnt_id {
        id if tells(MNT_ID_UNIQUE) => Mount::Unique(id),
        id if tells(StatxFlags::MNT_ID) => Mount::Numbered { id, device },
        _ => Mount::Numbered { id: 0, device },
    };
    let born = if tells(StatxFlags::BTIME) { time_of(told.stx_btime) } else { None };
    let owner = User::of_number(told.stx_uid);
    Ok(Facts { id: FileId { device, number: told.stx_ino }, owner, mount, born })
}

/// Asks the server about a directory. If that fails, so does what is done with a name in it.
pub(super) fn ask_server(dir: BorrowedFd<'_>) {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    let _ = statx(dir, "", flags, StatxFlags::BASIC_STATS);
}

/// What a name names, as far as this host knows: of the file itself nothing is asked.
pub(super) fn id_as_known(dir: BorrowedFd<'_>, name: &OsStr) -> Result<FileId, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let told = match statx(dir, name, flags, StatxFlags::INO) {
        // An old kernel, or an old filter of system calls.
        Err(Errno::NOSYS | Errno::PERM) => {
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            return Ok(Stat::from(&stat).id);
        }
        told => told?,
    };
    let device = rustix::fs::makedev(told.stx_dev_major, told.stx_dev_minor);
    Ok(FileId { device, number: told.stx_ino })
}

fn time_of(told: StatxTimestamp) -> Option<SystemTime> {
    let since_1970 = Duration::new(u64::try_from(told.tv_sec).ok()?, told.tv_nsec);
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
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

pub(super) fn move_to_free(
    dir: BorrowedFd<'_>,
    old: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> io::Result<()> {
    rename_with(RenameFlags::NOREPLACE, (dir, old), (to, new))
}

pub(super) fn exchange(dir: BorrowedFd<'_>, one: &OsStr, other: &OsStr) -> io::Result<()> {
    rename_with(RenameFlags::EXCHANGE, (dir, one), (dir, other))
}

fn rename_with(
    flags: RenameFlags,
    (dir, old): (BorrowedFd<'_>, &OsStr),
    (to, new): (BorrowedFd<'_>, &OsStr),
) -> io::Result<()> {
    match rustix::fs::renameat_with(dir, old, to, new, flags) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        renamed => Ok(renamed?),
    }
}
