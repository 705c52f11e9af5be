//! Opening a lock file, and publishing one: complete before it is visible (I5).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{LockFile, Want, record};
use crate::datafile::Section;
use crate::error::{Context, Error, Result, shell_word};
use crate::faults::{self, Step};
use crate::place::Place;
use crate::sys::{self, Access, FileKind, Found, Pinned, Refusal, Stat, User, filesystem, flock};

/// What opening a lock file brought.
pub(super) enum Opened {
    File(Pinned, Stat),
    None,
    /// This process may not open it: it is another user's, or somebody has a lease on it, who was
    /// asked to give it back.
    Denied(Closed),
}

/// A lock file that this process may not open.
pub(super) struct Closed {
    /// Whose it is, if that can be told.
    pub(super) owner: Option<User>,
    /// Why it could not be opened.
    pub(super) why: io::Error,
}

impl Closed {
    /// What it means for an operation that cannot do without the file.
    pub(super) fn into_error(self) -> io::Error {
        match self.owner {
            Some(owner) => Refusal::Closed { owner }.into(),
            None => self.why,
        }
    }
}

/// Opens a lock file. Follows no link and waits for nothing.
pub(super) fn open(place: &Place) -> Result<Opened> {
    open_for(place, Access::ReadWrite)
}

/// Opens a lock file only to look at it.
pub(super) fn open_to_look(place: &Place) -> Result<Opened> {
    open_for(place, Access::Read)
}

/// A directory in the place of the lock file: the lock of proper-lockfile, which judges it by the
/// time of its last change.
fn directory(place: &Place) -> Error {
    /// What proper-lockfile takes for stale unless told otherwise. A living owner touches it twice
    /// as often.
    const STALE: Duration = Duration::from_secs(10);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let stat = place.stat_lock().ok().flatten();
    let age = stat.and_then(|stat| now.checked_sub(stat.modified)).unwrap_or_default();
    let reason = if age < STALE {
        "it is a directory, as proper-lockfile makes one, and was touched less than 10 s ago: its \
         owner lives, and removes it at the end of its work; try again later"
            .to_owned()
    } else {
        format!(
            "it is a directory, as proper-lockfile makes one, and was touched {} s ago, while a \
             living owner does so every 5 s: remove it with `rmdir {}`",
            age.as_secs(),
            shell_word(place.lock())
        )
    };
    Error::NotALockFile { path: place.lock().to_owned(), reason }
}

fn open_for(place: &Place, access: Access) -> Result<Opened> {
    let lock = place.lock();
    let not_ours = |what: &str| Error::NotALockFile {
        path: lock.to_owned(),
        reason: format!("{what}; move it away"),
    };
    let file = match place.dir().open_file(place.lock_name(), access) {
        Ok(file) => file,
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound => return Ok(Opened::None),
            io::ErrorKind::PermissionDenied => return denied(place, e),
            _ if sys::is_lease_refusal(&e) => {
                return Ok(Opened::Denied(Closed { owner: None, why: e }));
            }
            io::ErrorKind::IsADirectory => return Err(directory(place)),
            _ if sys::is_link_refusal(&e) => return Err(not_ours("it is a symbolic link")),
            _ if sys::is_pipe_refusal(&e) => return Err(not_ours("it is a socket or a pipe")),
            _ => return Err(e).context("open", lock),
        },
    };
    let (file, stat) = match Pinned::new(file) {
        // Where files are known by their names, one that was removed just now cannot be looked at.
        Err(e) if e.kind() == io::ErrorKind::NotFound || sys::is_stale_handle(&e) => {
            return Ok(Opened::None);
        }
        looked => looked.context("look at", lock)?,
    };
    place.dir().ensure_trusted(&stat).context("use", lock)?;
    match stat.kind {
        // It may have no name: it was removed in between. Whoever locks it compares it with the
        // path (I3). It may have several: whoever takes it over puts another in its place (I6).
        FileKind::File => Ok(Opened::File(file, stat)),
        FileKind::Directory => Err(directory(place)),
        FileKind::Other => Err(not_ours("it is not a regular file")),
    }
}

fn denied(place: &Place, why: io::Error) -> Result<Opened> {
    let stat = place.stat_lock()?;
    if let Some(stat) = &stat {
        place.dir().ensure_trusted(stat).context("use", place.lock())?;
    }
    Ok(Opened::Denied(Closed { owner: stat.map(|stat| stat.owner), why }))
}

/// Publishes a lock file, complete before it is visible (I5). `None` if something came between: the
/// caller looks again.
pub(super) fn publish(place: &Place, section: &Section, want: &Want) -> Result<Option<LockFile>> {
    debug_assert!(section.is_of(place));
    faults::at(Step::Publish, place.lock()).context("publish", place.lock())?;
    // A daemon may do as the clients of a server do.
    if !filesystem::is_local(place.dir()) {
        return publish_at_server(place, section, want);
    }
    if !want.rules.portable
        && let Some(file) =
            place.dir().create_unnamed().context("create a lock file in", place.dir().path())?
        && let Some(held) = fill(file, section, want)?
    {
        match place.dir().name_unnamed(held.file(), place.lock_name()) {
            Ok(()) => return Ok(Some(held)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            // The portable way works, or its error says why not.
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
            Err(e) => return Err(e).context("publish", place.lock()),
        }
    }
    publish_by_rename(place, section, want)
}

fn publish_by_rename(place: &Place, section: &Section, want: &Want) -> Result<Option<LockFile>> {
    under_temporary_name(section, want, |temporary, _| match name_temporary(place, temporary) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e).context("publish", place.lock()),
    })
}

/// Publishes a lock file on a server (I19): written under a temporary name, linked, and opened by
/// its own name before it is closed under the temporary one, which is removed last. A client that
/// removes a name by which it has a file open renames it instead, and everybody would see a lock
/// file with two names.
///
/// Between the link and the lock, the file is there without a holder. Nobody of this protocol
/// takes it over then, since that takes the data lock. A waiter may be granted its `flock`, and
/// begins after this section: then this process has not got the turn.
fn publish_at_server(place: &Place, section: &Section, want: &Want) -> Result<Option<LockFile>> {
    let dir = place.dir();
    let made = section.unused_trace();
    let bytes = record::encode(want, made.as_deref(), SystemTime::now(), 0);
    let temporary = temporary_name();
    let path = dir.path().join(&temporary);
    let file =
        dir.create_file(&temporary, Access::ReadWrite).context("create a lock file", &path)?;
    let linked = record::write_new(&file, &bytes)
        .and_then(|()| dir.give_to_owner(&file))
        .and_then(|()| section.share(&file))
        .and_then(|()| file.sync_data())
        .context("write a lock file in", dir.path())
        .and_then(|()| link_and_lock(place, &temporary));
    drop(file);
    // What cannot be removed is a leftover, which does no harm.
    let _ = dir.remove(&temporary);
    let Some(file) = linked? else { return Ok(None) };
    let held = LockFile::filled(file, place, bytes, want);
    // A foreign program may have put its own file there.
    Ok(held.lost(place)?.is_none().then_some(held))
}

/// Gives a temporary file the lock file's name, opens it by that, and locks it. `None` if something
/// came between.
fn link_and_lock(place: &Place, temporary: &OsStr) -> Result<Option<Pinned>> {
    match place.dir().link(temporary, place.lock_name()) {
        Ok(()) => {}
        // A foreign program was faster, or a sweep took it for a leftover.
        Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
            return Ok(None);
        }
        Err(e) => return Err(e).context("publish", place.lock()),
    }
    let Opened::File(file, _) = open(place)? else { return Ok(None) };
    let is_locked = flock::try_lock(file.file()).context("lock", place.lock())?;
    Ok(is_locked.then_some(file))
}

/// Makes a complete lock file under a temporary name, which `publish` changes. If it does not, the
/// file is removed.
fn under_temporary_name(
    section: &Section,
    want: &Want,
    publish: impl FnOnce(&OsStr, &Pinned) -> Result<bool>,
) -> Result<Option<LockFile>> {
    let dir = section.place().dir();
    let temporary = temporary_name();
    let file = dir
        .create_file(&temporary, Access::ReadWrite)
        .context("create a lock file", &dir.path().join(&temporary))?;
    let published = fill(file, section, want).and_then(|filled| match filled {
        Some(held) => Ok(publish(&temporary, held.pinned())?.then_some(held)),
        None => Ok(None),
    });
    if !matches!(published, Ok(Some(_))) {
        // The first error is the one to report.
        let _ = dir.remove(&temporary);
    }
    published
}

/// Puts a new lock file in the place of `old`, which has another name too, and whose owner is dead.
/// `None` if something came between: the caller looks again.
///
/// The two are exchanged. A foreign program may have put its own file there since `old` was judged.
/// It gets its place back.
pub(super) fn replace(
    place: &Place,
    old: &Pinned,
    section: &Section,
    want: &Want,
) -> Result<Option<LockFile>> {
    remove_temporary_names(place, old);
    let mut can_exchange = true;
    let replaced = under_temporary_name(section, want, |temporary, new| {
        match exchange(place, temporary, old, new) {
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                can_exchange = false;
                Ok(false)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            exchanged => exchanged.context("replace", place.lock()),
        }
    })?;
    if can_exchange {
        return Ok(replaced);
    }
    if place.compare_lock(old)?.is_this() {
        place.remove_lock()?;
    }
    publish(place, section, want)
}

/// Exchanges the lock file with the new one. `false` if it was not `old`; then all is as before.
fn exchange(place: &Place, temporary: &OsStr, old: &Pinned, new: &Pinned) -> io::Result<bool> {
    let (dir, lock) = (place.dir(), place.lock_name());
    dir.exchange(temporary, lock)?;
    if dir.compare(temporary, old)?.is_this() {
        // If this fails, a leftover stays, which does no harm.
        let _ = dir.remove(temporary);
        return Ok(true);
    }
    // Whose it is may have removed what is there, and be gone.
    if dir.compare(lock, new)?.is_this() {
        dir.exchange(temporary, lock)?;
    }
    Ok(false)
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

/// Removes the temporary names of a lock file that has several names: its maker may have died
/// before it could. If this fails, a leftover stays, which does no harm.
pub(super) fn remove_temporary_names(place: &Place, lock: &Pinned) {
    let dir = place.dir();
    let Ok(names) = dir.names() else { return };
    for name in names.filter_map(io::Result::ok).filter(|name| is_temporary(name)) {
        if dir.compare(&name, lock).is_ok_and(Found::is_this) {
            let _ = dir.remove(&name);
        }
    }
}

const PREFIX: &str = ".turnlock-";
const SUFFIX: &str = ".tmp";

fn temporary_name() -> OsString {
    format!("{PREFIX}{}{SUFFIX}", Uuid::now_v7()).into()
}

fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

/// Locks a new file and writes the record into it; `None` if a sweep has locked it, since it took
/// it for a leftover.
fn fill(file: File, section: &Section, want: &Want) -> Result<Option<LockFile>> {
    let (place, dir) = (section.place(), section.place().dir());
    let made = section.unused_trace();
    let bytes = record::encode(want, made.as_deref(), SystemTime::now(), 0);
    let written = "write a lock file in";
    if !flock::try_lock(&file).context(written, dir.path())? {
        return Ok(None);
    }
    record::write_new(&file, &bytes)
        .and_then(|()| dir.give_to_owner(&file))
        .and_then(|()| section.share(&file))
        .context(written, dir.path())?;
    let (file, _) = Pinned::new(file).context("look at", dir.path())?;
    Ok(Some(LockFile::filled(file, place, bytes, want)))
}
