//! Opening a lock file, and publishing one: complete before it is visible (I5).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::time::SystemTime;

use uuid::Uuid;

use super::{LockFile, Want, record};
use crate::datafile::Section;
use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::sys::{self, Access, FileKind, Pinned, Stat, flock};

/// What opening a lock file brought.
pub(super) enum Opened {
    File(Pinned, Stat),
    None,
    /// This process may not open it: it is another user's.
    Denied,
}

/// Opens a lock file. Follows no link and waits for nothing.
pub(super) fn open(place: &Place) -> Result<Opened> {
    open_for(place, Access::ReadWrite)
}

/// Opens a lock file only to look at it.
pub(super) fn open_to_look(place: &Place) -> Result<Opened> {
    open_for(place, Access::Read)
}

fn open_for(place: &Place, access: Access) -> Result<Opened> {
    let lock = place.lock();
    let not_ours = |reason| Error::NotALockFile { path: lock.to_owned(), reason };
    let file = match place.dir().open_file(place.lock_name(), access) {
        Ok(file) => file,
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound => return Ok(Opened::None),
            io::ErrorKind::PermissionDenied => return Ok(Opened::Denied),
            io::ErrorKind::IsADirectory => return Err(not_ours("it is a directory")),
            _ if sys::is_link_refusal(&e) => return Err(not_ours("it is a symbolic link")),
            _ if sys::is_pipe_refusal(&e) => return Err(not_ours("it is a socket or a pipe")),
            _ => return Err(e).context("open", lock),
        },
    };
    let (file, mut stat) = Pinned::new(file).context("look at", lock)?;
    if stat.kind == FileKind::File && stat.links == 2 {
        remove_temporary_name(place, &file).context("look for the other name of", lock)?;
        stat = sys::stat(file.file()).context("look at", lock)?;
    }
    match (stat.kind, stat.links) {
        // No name: it was removed in between. Whoever locks it compares it with the path (I3).
        (FileKind::File, 0 | 1) => Ok(Opened::File(file, stat)),
        (FileKind::File, _) => Err(not_ours("it has several names (hard links)")),
        (FileKind::Directory, _) => Err(not_ours("it is a directory")),
        (FileKind::Other, _) => Err(not_ours("it is not a regular file")),
    }
}

/// Publishes a lock file, complete before it is visible (I5). `None` if something came between: the
/// caller looks again.
pub(super) fn publish(place: &Place, section: &Section, want: &Want) -> Result<Option<LockFile>> {
    let made = section.unused_trace();
    if !want.rules.portable
        && let Some(file) =
            place.dir().create_unnamed().context("create a lock file in", place.dir().path())?
        && let Some(held) = fill(file, place, made.as_deref(), want)?
    {
        match place.dir().name_unnamed(held.file(), place.lock_name()) {
            Ok(()) => return Ok(Some(held)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            // The portable way works, or its error says why not.
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
            Err(e) => return Err(e).context("publish", place.lock()),
        }
    }
    publish_by_rename(place, made.as_deref(), want)
}

fn publish_by_rename(place: &Place, made: Option<&str>, want: &Want) -> Result<Option<LockFile>> {
    let temporary = OsString::from(format!("{PREFIX}{}{SUFFIX}", Uuid::now_v7()));
    let path = place.dir().path().join(&temporary);
    let file = place
        .dir()
        .create_file(&temporary, Access::ReadWrite)
        .context("create a lock file", &path)?;
    let published = fill(file, place, made, want).and_then(|filled| {
        let Some(held) = filled else { return Ok(None) };
        match name_temporary(place, &temporary) {
            Ok(()) => Ok(Some(held)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(e).context("publish", place.lock()),
        }
    });
    if !matches!(published, Ok(Some(_))) {
        // The first error is the one to report.
        let _ = place.dir().remove(&temporary);
    }
    published
}

/// Gives a temporary file the lock file's name, if that is free.
fn name_temporary(place: &Place, temporary: &OsStr) -> io::Result<()> {
    match place.dir().rename_to_free(temporary, place.lock_name()) {
        // NFS and its like have hard links instead. For a moment the file has both names, and if
        // this process dies now, it keeps them.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            place.dir().link(temporary, place.lock_name())?;
            let _ = place.dir().remove(temporary);
            Ok(())
        }
        renamed => renamed,
    }
}

/// Removes the temporary name of a lock file whose maker died before it could.
fn remove_temporary_name(place: &Place, lock: &Pinned) -> io::Result<()> {
    for name in place.dir().names()? {
        let name = name?;
        if is_temporary(&name) && place.dir().compare(&name, lock)?.is_this() {
            let _ = place.dir().remove(&name);
        }
    }
    Ok(())
}

const PREFIX: &str = ".turnlock-";
const SUFFIX: &str = ".tmp";

fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

/// Locks a new file and writes the record into it; `None` if a sweep has locked it, since it took
/// it for a leftover.
fn fill(file: File, place: &Place, made: Option<&str>, want: &Want) -> Result<Option<LockFile>> {
    let dir = place.dir();
    let bytes = record::encode(want, made, SystemTime::now(), 0);
    let written = "write a lock file in";
    if !flock::try_lock(&file).context(written, dir.path())? {
        return Ok(None);
    }
    record::write_new(&file, &bytes)
        .and_then(|()| dir.give_to_owner(&file))
        .context(written, dir.path())?;
    let (file, _) = Pinned::new(file).context("look at", dir.path())?;
    Ok(Some(LockFile::filled(file, place, bytes, want)))
}
