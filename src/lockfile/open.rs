//! How a lock file is opened, and how one is made: complete before anyone can see it (I5).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use uuid::Uuid;

use super::{LockFile, record};
use crate::error::{Context, Error, Result};
use crate::flock;
use crate::place::{CAREFUL, FileId, Place, give_to_owner_of};
use crate::registry::Want;

/// What opening a lock file brought.
pub(crate) enum Opened {
    File(File, Stat),
    None,
    /// Another user's.
    Denied,
}

/// Opens a lock file, following and awaiting nothing.
pub(crate) fn open(lock: &Path) -> Result<Opened> {
    open_with(lock, OFlags::RDWR)
}

/// Opens a lock file only to look at it.
pub(crate) fn open_to_look(lock: &Path) -> Result<Opened> {
    open_with(lock, OFlags::RDONLY)
}

fn open_with(lock: &Path, access: OFlags) -> Result<Opened> {
    let not_ours = |reason| Error::NotALockFile { path: lock.to_owned(), reason };
    let file = match rustix::fs::open(lock, access | CAREFUL, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(Opened::None),
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Opened::Denied),
        Err(Errno::LOOP) => return Err(not_ours("it is a symbolic link")),
        Err(Errno::ISDIR) => return Err(not_ours("it is a directory")),
        Err(Errno::NXIO) => return Err(not_ours("it is a socket or a pipe")),
        Err(e) => return Err(e).context("open", lock),
    };
    let mut stat = rustix::fs::fstat(&file).context("look at", lock)?;
    if stat.st_nlink == 2 && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        remove_first_name(lock, &stat).context("look for the other name of", lock)?;
        stat = rustix::fs::fstat(&file).context("look at", lock)?;
    }
    match (FileType::from_raw_mode(stat.st_mode), stat.st_nlink) {
        // It was removed in between; whoever locks it will see that the path names it no more.
        (FileType::RegularFile, 0 | 1) => Ok(Opened::File(file, stat)),
        (FileType::RegularFile, _) => Err(not_ours("it has several names (hard links)")),
        (FileType::Directory, _) => Err(not_ours("it is a directory")),
        _ => Err(not_ours("it is no regular file")),
    }
}

/// Makes a lock file, complete before anyone can see it (I5); `None` if the name is taken.
pub(super) fn publish(place: &Place, want: &Want) -> Result<Option<LockFile>> {
    if !want.rules.portable
        && let Some(file) = unnamed_in(place.dir()).context("create a lock file in", place.dir())?
    {
        let held = fill(file, place, want)?;
        match name(&held.file, place.lock()) {
            Ok(()) => return Ok(Some(held)),
            Err(Errno::EXIST) => return Ok(None),
            // No hard links here, or no /proc: the portable way finds out which.
            Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV) => {}
            Err(e) => return Err(e).context("publish", place.lock()),
        }
    }
    publish_by_rename(place, want)
}

/// Gives an unnamed file its name, if that is not taken.
fn name(file: &File, path: &Path) -> Result<(), Errno> {
    match rustix::fs::linkat(file, "", CWD, path, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10 this took a privilege; the way through /proc takes longer, and none.
        Err(Errno::NOENT) => {
            let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, by_descriptor.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW)
        }
        done => done,
    }
}

fn unnamed_in(dir: &Path) -> io::Result<Option<File>> {
    match rustix::fs::open(
        dir,
        OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    ) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn publish_by_rename(place: &Place, want: &Want) -> Result<Option<LockFile>> {
    let temporary = place.dir().join(format!(".turnlock-{}.tmp", Uuid::now_v7()));
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .context("create a lock file", &temporary)?;
    let published =
        fill(file, place, want).and_then(|held| match name_anew(&temporary, place.lock()) {
            Ok(()) => Ok(Some(held)),
            Err(Errno::EXIST) => Ok(None),
            Err(e) => Err(e).context("publish", place.lock()),
        });
    if !matches!(published, Ok(Some(_))) {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    published
}

/// Gives a file another name, if that is not taken.
fn name_anew(temporary: &Path, path: &Path) -> Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // NFS and its like have hard links instead. For a moment, or when this process dies now, it has both names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::link(temporary, path)?;
            let _ = rustix::fs::unlink(temporary);
            Ok(())
        }
        done => done,
    }
}

/// Removes the name under which a lock file was made before it got its own.
fn remove_first_name(lock: &Path, stat: &Stat) -> io::Result<()> {
    let Some(dir) = lock.parent() else { return Ok(()) };
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.ino() == stat.st_ino && is_temporary(&entry.file_name()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".turnlock-") && name.ends_with(b".tmp")
}

fn fill(file: File, place: &Place, want: &Want) -> Result<LockFile> {
    let bytes = record::encode(want, SystemTime::now(), 0);
    let filled = flock::try_lock(&file)
        .and_then(|_| file.write_all_at(&bytes, 0))
        .and_then(|()| give_to_owner_of(place.dir(), &file));
    filled.context("write a lock file in", place.dir())?;
    let stat = rustix::fs::fstat(&file).context("look at", place.dir())?;
    let mut held = LockFile::new(file, FileId::of(&stat));
    held.bears(bytes, want.owner);
    held.mark(want);
    Ok(held)
}
