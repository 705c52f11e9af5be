//! The open session file, and the ways to its data lock.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::section::Section;
use super::synced::sync_directory_once;
use super::{claim, made};
use crate::error::{Context, Error, MOUNTED, Result};
use crate::place::Place;
use crate::sys::{self, Access, FileKind, Found, Pinned, filesystem, flock};

/// A session file that is open.
#[derive(Debug)]
pub(crate) struct SessionFile {
    file: Arc<Pinned>,
    /// Whether this process, or the holder before, created the file for its data lock. It is
    /// removed with the turn if nobody ever writes into it.
    created: bool,
    /// If the file has this length, it is known to end with a newline.
    sealed_to: u64,
    /// Whether a turn has claimed it through this descriptor (I17).
    claimed: bool,
    /// Whether its name was synced since it was opened.
    is_name_synced: bool,
}

/// The outcome of a try for the data lock.
pub(crate) enum Locking {
    Locked(Section),
    Busy(SessionFile),
    /// There is no session file, and the caller did not want it created.
    Missing,
}

impl SessionFile {
    /// Opens the session file; `None` if there is none. With `create` a missing one is created.
    /// Follows no link and waits for nothing: somebody's lease on the file is an error
    /// ([`Error::is_lease`]), which callers take for a lock that is busy.
    pub(crate) fn open(place: &Place, create: bool) -> Result<Option<Self>> {
        let Some((file, created)) = open_or_create(place, create)? else { return Ok(None) };
        let path = place.session();
        let (file, stat) = Pinned::new(file).context("look at", path)?;
        match stat.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(refused(place, "it is a directory")),
            FileKind::Other => return Err(refused(place, "it is not a regular file")),
        }
        let dir = place.dir();
        dir.ensure_writable(&stat).context("use", path)?;
        if let Some(reason) = filesystem::refusal(dir) {
            if created {
                // Nobody has it open for its lock, since everybody is refused here.
                let _ = dir.remove(place.session_name());
            }
            return Err(Error::LocksNotKept { dir: dir.path().to_owned(), reason });
        }
        if created && let Err(e) = dir.give_to_owner(file.file()) {
            // Nobody has written into it yet.
            let _ = dir.remove(place.session_name());
            return Err(e).context("give to the directory's owner", path);
        }
        // The file of a gateway or a guard exists for its data lock only, whoever created it.
        let created = created || place.is_gateway() || place.is_guard();
        Ok(Some(Self { created, ..Self::of(Arc::new(file)) }))
    }

    /// A complete file that has just become the session file, with its data lock held.
    pub(super) fn installed(file: Arc<Pinned>) -> Self {
        Self::of(file)
    }

    fn of(file: Arc<Pinned>) -> Self {
        Self { file, created: false, sealed_to: 0, claimed: false, is_name_synced: false }
    }

    /// Takes the data lock if it is free, on the file that the path names (I3).
    pub(crate) fn try_lock(self, place: &Place, create: bool) -> Result<Locking> {
        let mut session = self;
        let mut may_be_given_up = filesystem::is_served(place.dir());
        loop {
            let moved = match flock::try_lock(session.file()) {
                Ok(true) => match session.confirmed(place)? {
                    Ok(section) => return Ok(Locking::Locked(section)),
                    Err(moved) => moved,
                },
                Ok(false) => {
                    made::remember(place, &session);
                    return Ok(Locking::Busy(session));
                }
                // The server has given up what was locked through this descriptor. Another one
                // will do.
                Err(e) if may_be_given_up && sys::is_given_up(&e) => {
                    may_be_given_up = false;
                    session
                }
                Err(e) => return Err(e).context("lock", place.session()),
            };
            match Self::open(place, create) {
                Ok(Some(other)) => session = other,
                Ok(None) => return Ok(Locking::Missing),
                Err(error) if error.is_lease() => return Ok(Locking::Busy(moved)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the data lock if it comes free within `limit`, a few milliseconds.
    pub(crate) fn lock_within(
        self,
        limit: Duration,
        place: &Place,
        create: bool,
    ) -> Result<std::result::Result<Section, Self>> {
        let mut session = self;
        let mut pause = Duration::from_micros(20);
        let until = Instant::now() + limit;
        loop {
            match session.try_lock(place, create)? {
                Locking::Locked(section) => return Ok(Ok(section)),
                Locking::Missing => return Err(missing(place)),
                Locking::Busy(busy) if Instant::now() >= until => return Ok(Err(busy)),
                Locking::Busy(busy) => session = busy,
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    /// The section, if the file whose lock was granted is the one that the path names (I3).
    /// Otherwise lets go of the lock.
    pub(super) fn confirmed(self, place: &Place) -> Result<std::result::Result<Section, Self>> {
        match place.compare_session(&self.file) {
            Ok(Found::This(stat)) => Ok(Ok(Section::new(self, &stat, place))),
            other => {
                self.unlock();
                other.map(|_| Err(self))
            }
        }
    }

    pub(super) fn unlock(&self) {
        flock::unlock(self.file());
    }

    pub(crate) fn file(&self) -> &File {
        self.file.file()
    }

    /// The file, for a later turn. Others may write, or cut it, before that, and hold it under
    /// another name.
    pub(crate) fn for_a_later_turn(self) -> Self {
        if self.claimed {
            claim::end(self.file());
        }
        Self { sealed_to: 0, claimed: false, ..self }
    }

    /// Claims the file for a turn (I17). `false` if it is held under another name.
    pub(super) fn claim(&mut self, place: &Place) -> bool {
        self.claimed = self.claimed || claim::take(self.file(), place);
        self.claimed
    }

    /// The file, which is open as long as this is.
    pub(crate) fn pinned(&self) -> &Arc<Pinned> {
        &self.file
    }

    /// The file, for a later look at it. Others may write, or cut it, before that.
    pub(crate) fn for_later(self) -> Self {
        Self { sealed_to: 0, ..self }
    }

    /// Whether this process created the file, for its data lock.
    pub(crate) fn is_made_by_us(&self) -> bool {
        self.created
    }

    /// It was created for its data lock: by this process before, or by another one of this protocol
    /// that is done with it.
    pub(super) fn is_made_for_its_lock(&mut self) {
        self.created = true;
    }

    /// Makes it a session file like any other.
    pub(super) fn forget_who_made_it(&mut self) {
        self.created = false;
    }

    /// The length at which the file is known to end with a newline.
    pub(super) fn sealed_to(&self) -> u64 {
        self.sealed_to
    }

    /// The file ends with a newline at `end`.
    pub(super) fn is_sealed_to(&mut self, end: u64) {
        self.sealed_to = end;
    }

    /// Makes what was written survive the loss of power.
    pub(crate) fn sync(&mut self, place: &Place) -> io::Result<()> {
        self.file().sync_data()?;
        if !self.is_name_synced {
            sync_directory_once(&self.file, place)?;
            self.is_name_synced = true;
        }
        Ok(())
    }
}

/// The file, and whether it was created; `None` if there is none. With `create` a missing one is
/// created.
fn open_or_create(place: &Place, create: bool) -> Result<Option<(File, bool)>> {
    let (dir, name, path) = (place.dir(), place.session_name(), place.session());
    loop {
        match dir.open_file(name, Access::Append) {
            Ok(file) => return Ok(Some((file, false))),
            Err(e) => match e.kind() {
                io::ErrorKind::NotFound if create => {}
                io::ErrorKind::NotFound => return Ok(None),
                io::ErrorKind::IsADirectory => return Err(refused(place, "it is a directory")),
                _ if sys::is_link_refusal(&e) => {
                    return Err(refused(place, "it is a symbolic link; name the file itself"));
                }
                _ if sys::is_pipe_refusal(&e) => {
                    return Err(refused(place, "it is a socket or a pipe"));
                }
                _ if sys::is_mount_refusal(&e) => {
                    return Err(refused(place, MOUNTED));
                }
                io::ErrorKind::PermissionDenied => {
                    return Err(dir.why_closed(name, e)).context("open", path);
                }
                _ => return Err(e).context("open", path),
            },
        }
        match dir.create_file_for(place.users(), name, Access::Append) {
            Ok(file) => return Ok(Some((file, true))),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).context("create", path),
        }
    }
}

fn refused(place: &Place, reason: &'static str) -> Error {
    Error::NotASession { path: place.session().to_owned(), reason }
}

pub(super) fn missing(place: &Place) -> Error {
    Error::NoSession { path: place.session().to_owned() }
}
