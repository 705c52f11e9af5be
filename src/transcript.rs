//! The session file. Door 3, its data lock; and in the modules: the append under it, what is in it, what is broken in it, and how that
//! is put right. All of it blocks, and knows nothing of runtimes.

mod append;
mod attributes;
mod candidate;
pub mod damage;
mod dissect;
mod inside;
pub mod json;
mod limit;
mod lines;
pub mod quarantine;
pub mod read;
pub mod repair;
pub mod restore;
pub(crate) mod rewrite;
mod runs;
pub mod scan;
pub mod source;
mod synced;
mod utf8;

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::Serialize;

use crate::error::{Context, Error, Result};
use crate::flock;
use crate::lockfile::probe;
pub(crate) use append::Failed;
pub(crate) use inside::who_is_inside;
pub(crate) use lines::Lines;
use synced::sync_directory_once;

use crate::place::{CAREFUL, FileId, Place, give_to_owner_of, stat_named};

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When it survives the loss of power: the file is synced, and its directory where that is needed.
    #[default]
    Sync,
    /// When the kernel has it: it survives the death of every process, but not the loss of power.
    Buffered,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Appended {
    /// Where the first of the lines begins, in bytes.
    pub offset: u64,
    /// How many bytes the lines take, with their newlines.
    pub bytes: u64,
    /// How many bytes others (posts) have written since this turn last looked at the file.
    pub intervening: u64,
    /// Whether a torn line that somebody left was closed with a newline first.
    pub sealed: bool,
}

/// The session file, open.
#[derive(Debug)]
pub(crate) struct SessionFile {
    file: File,
    id: FileId,
    /// Made by us, for its lock's sake: it goes again with the turn if nobody ever writes into it.
    created: bool,
    /// Up to here the file is known to end with a newline.
    sealed_to: u64,
}

/// The data lock, held on a session file that the path names.
#[derive(Debug)]
pub(crate) struct DataLock {
    session: Option<SessionFile>,
    len: u64,
    place: Place,
}

/// What a try for the data lock brought.
pub(crate) enum Locking {
    Locked(DataLock),
    Busy(SessionFile),
    /// There is no session file, and none was to be created.
    Missing,
}

impl SessionFile {
    /// Opens the session file, following and awaiting nothing; `None` if there is none and `create` does not ask for one.
    pub(crate) fn open(place: &Place, create: bool) -> Result<Option<Self>> {
        let path = place.session();
        let refuse = |reason| Error::NotASession { path: path.to_owned(), reason };
        let flags = OFlags::RDWR | OFlags::APPEND | CAREFUL;
        let (file, created) = loop {
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(file) => break (File::from(file), false),
                Err(Errno::NOENT) if create => {}
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::LOOP) => {
                    return Err(refuse("it is a symbolic link; name the file itself"));
                }
                Err(Errno::ISDIR) => return Err(refuse("it is a directory")),
                Err(Errno::NXIO) => return Err(refuse("it is a socket or a pipe")),
                Err(e) => return Err(e).context("open", path),
            }
            match rustix::fs::open(
                path,
                flags | OFlags::CREATE | OFlags::EXCL,
                Mode::RUSR | Mode::WUSR,
            ) {
                Ok(file) => break (File::from(file), true),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e).context("create", path),
            }
        };
        let stat = rustix::fs::fstat(&file).context("look at", path)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(refuse("it is a directory")),
            _ => return Err(refuse("it is no regular file")),
        }
        probe::ensure_keeps_locks(place.dir(), stat.st_dev).inspect_err(|_| {
            if created {
                // Nobody can have it open for its lock, since nobody gets further than this.
                let _ = rustix::fs::unlink(path);
            }
        })?;
        if created {
            give_to_owner_of(place.dir(), &file).context("give to the directory's owner", path)?;
        }
        // A gateway's is never there for anything but its lock, whoever made it.
        let created = created || place.is_gateway();
        Ok(Some(Self { file, id: FileId::of(&stat), created, sealed_to: 0 }))
    }

    /// Takes the data lock if it is free, on the file that the path names by then (I3).
    pub(crate) fn try_lock(self, place: &Place, create: bool) -> Result<Locking> {
        let mut session = self;
        loop {
            if !flock::try_lock(&session.file).context("lock", place.session())? {
                return Ok(Locking::Busy(session));
            }
            // Open until the other is: so that has another inode.
            let _moved = match session.confirmed(place)? {
                Ok(locked) => return Ok(Locking::Locked(locked)),
                Err(moved) => moved,
            };
            match Self::open(place, create)? {
                Some(other) => session = other,
                None => return Ok(Locking::Missing),
            }
        }
    }

    /// Waits for the data lock in the kernel. Only for threads that are there to wait.
    pub(crate) fn wait_lock(self, place: &Place, create: bool) -> Result<Option<DataLock>> {
        let mut session = self;
        loop {
            flock::wait(&session.file).context("lock", place.session())?;
            let _moved = match session.confirmed(place)? {
                Ok(locked) => return Ok(Some(locked)),
                Err(moved) => moved,
            };
            match Self::open(place, create)? {
                Some(other) => session = other,
                None => return Ok(None),
            }
        }
    }

    /// With the lock granted: is it the file that the path names? If not, it is let go.
    fn confirmed(self, place: &Place) -> Result<std::result::Result<DataLock, Self>> {
        match stat_named(place.session()) {
            Ok(Some(stat)) if FileId::of(&stat) == self.id => {
                Ok(Ok(DataLock { len: size(&stat), session: Some(self), place: place.clone() }))
            }
            other => {
                flock::unlock(&self.file);
                other.context("look at", place.session())?;
                Ok(Err(self))
            }
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file, for a later turn, before which others may write.
    pub(crate) fn for_a_later_turn(self) -> Self {
        Self { sealed_to: 0, ..self }
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Whether this process made the file, for the sake of its lock.
    pub(crate) fn is_made_by_us(&self) -> bool {
        self.created
    }

    /// Makes what was written survive the loss of power.
    pub(crate) fn sync(&self, place: &Place) -> io::Result<()> {
        self.file.sync_data()?;
        sync_directory_once(&self.file, self.id, place)
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// How long an operation that must not wait gives the data lock to come free.
pub(crate) const SOON: Duration = Duration::from_millis(5);

impl DataLock {
    /// Opens the session file and takes its data lock if that can be had soon.
    ///
    /// With `create` a missing session file is made.
    pub(crate) fn try_now(place: &Place, create: bool) -> Result<Option<Self>> {
        match SessionFile::open(place, create)? {
            Some(session) => Ok(session.lock_soon(place, create)?.ok()),
            None => Err(Error::NoSession { path: place.session().to_owned() }),
        }
    }

    /// Makes the session file if there is none, and takes its data lock if that is free.
    pub(crate) fn try_once(place: &Place) -> Result<Option<Self>> {
        match SessionFile::open(place, true)?
            .map(|session| session.try_lock(place, true))
            .transpose()?
        {
            Some(Locking::Locked(data)) => Ok(Some(data)),
            _ => Ok(None),
        }
    }

    /// Waits for the data lock in the kernel. Only for threads that are there to wait.
    pub(crate) fn wait(place: &Place, create: bool) -> Result<Self> {
        let locked = match SessionFile::open(place, create)? {
            Some(session) => session.wait_lock(place, create)?,
            None => None,
        };
        locked.ok_or_else(|| Error::NoSession { path: place.session().to_owned() })
    }

    /// How long the file is.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Looks anew how long the file is.
    pub(crate) fn look_again(&mut self) -> Result<()> {
        self.len = size(&rustix::fs::fstat(self.file()).context("look at", self.place.session())?);
        Ok(())
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.session.as_ref().map(|session| session.id)
    }

    /// Removes the session file if this process made it, or `made` it before, for its lock's sake, and nobody has written into it.
    ///
    /// To be done while the turn lock is held, and before its file goes: a foreign program that comes then must not find it first. Or at once
    /// when the turn lock could not even be tried.
    ///
    /// `disown` takes the owner out of a lock file that is to go next: the data lock goes with the session file, and a revoke that named him just
    /// then would let somebody in whose lock file would be removed in place of his (I14).
    pub(crate) fn discard_unused(&mut self, made: bool, disown: impl FnOnce() -> io::Result<()>) {
        let Some(session) = self.session.as_mut().filter(|session| session.created || made) else {
            return;
        };
        let empty = rustix::fs::fstat(&session.file).is_ok_and(|stat| stat.st_size == 0);
        if empty
            && FileId::named_by(self.place.session()).is_ok_and(|named| named == Some(session.id))
            && disown().is_ok()
        {
            session.created = false;
            // If it stays it is an empty session, and does no harm.
            let _ = rustix::fs::unlink(self.place.session());
        }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        // The session is taken out only by `unlock`, which consumes the lock.
        match &self.session {
            Some(session) => &session.file,
            None => unreachable!("a data lock has its file until it is unlocked"),
        }
    }

    /// Lets the lock go and keeps the file open.
    pub(crate) fn unlock(mut self) -> Option<SessionFile> {
        let session = self.session.take();
        if let Some(session) = &session {
            flock::unlock(&session.file);
        }
        session
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        flock::unlock(&session.file);
    }
}

impl SessionFile {
    /// Takes the data lock if it comes free within a few milliseconds.
    pub(crate) fn lock_soon(
        self,
        place: &Place,
        create: bool,
    ) -> Result<std::result::Result<DataLock, Self>> {
        let mut session = self;
        let mut pause = Duration::from_micros(20);
        let until = Instant::now() + SOON;
        loop {
            match session.try_lock(place, create)? {
                Locking::Locked(locked) => return Ok(Ok(locked)),
                Locking::Missing => {
                    return Err(Error::NoSession { path: place.session().to_owned() });
                }
                Locking::Busy(busy) if Instant::now() >= until => return Ok(Err(busy)),
                Locking::Busy(busy) => session = busy,
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }
}
