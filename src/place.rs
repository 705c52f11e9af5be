//! Where a session lives: its directory, opened once, and the names of its files in it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

use crate::compat::openclaw;
use crate::error::{Context, Error, Result};
use crate::sys::{Dir, DirNumber, Found, Pinned, Stat, Users, strip_suffix};

/// A session's directory and its name there. Two values are equal if they mean the same session,
/// whichever path it was named by.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: Arc<Dir>,
    /// The lock path, which begins with the session's path.
    lock: Arc<Path>,
    /// Who may use the session file if it is created.
    users: Users,
}

const LOCK_SUFFIX: &str = ".lock";
const SESSION_SUFFIX: &str = ".jsonl";
/// What follows the name of a file of any name in that of the session whose turn is its guard.
pub(crate) const GUARD_SUFFIX: &str = ".guard.jsonl";

impl Place {
    /// Opens the directory of `session`. With `create` a missing directory is created (0700) and
    /// synced.
    pub(crate) fn resolve(session: &Path, create: bool) -> Result<Self> {
        let refuse = |reason| Error::NotASession { path: session.to_owned(), reason };
        let name = session.file_name().ok_or_else(|| refuse("it has no file name"))?;
        if strip_suffix(name, SESSION_SUFFIX).is_none_or(OsStr::is_empty) {
            return Err(refuse("its name must end in `.jsonl`"));
        }
        if session.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(refuse("its name contains a NUL byte"));
        }
        Ok(Self::of_session_in(&directory_of(session, create)?, name))
    }

    /// The place of a gateway's lock, `<dir>/gateway.<key>.lock`. Its session file is empty, and
    /// exists for its data lock only.
    #[cfg(feature = "gateway")]
    pub(crate) fn of_gateway(lock: &Path, create: bool) -> Result<Self> {
        let name =
            lock.file_name().filter(|_| openclaw::is_gateway_lock(lock)).ok_or_else(|| {
                let reason = "its name is not that of a gateway lock".to_owned();
                Error::NotALockFile { path: lock.to_owned(), reason }
            })?;
        Ok(Self::of_lock_in(&directory_of(lock, create)?, name).for_users(Users::OwnerOnly))
    }

    /// The place of a session in a directory that is already open.
    pub(crate) fn of_session_in(dir: &Arc<Dir>, session: &OsStr) -> Self {
        let mut lock = session.to_owned();
        lock.push(LOCK_SUFFIX);
        Self::of_lock_in(dir, &lock)
    }

    /// The place of a lock file in a directory that is already open.
    pub(crate) fn of_lock_in(dir: &Arc<Dir>, lock: &OsStr) -> Self {
        let lock = Arc::from(dir.path().join(lock));
        Self { dir: Arc::clone(dir), lock, users: Users::default() }
    }

    /// The same place, with these users of a new session file.
    pub(crate) fn for_users(self, users: Users) -> Self {
        Self { users, ..self }
    }

    /// Who may use the session file if it is created now.
    pub(crate) fn users(&self) -> Users {
        self.users
    }

    /// Whether it is the place of a gateway's lock.
    pub(crate) fn is_gateway(&self) -> bool {
        openclaw::is_gateway_lock(&self.lock)
    }

    /// Whether its session stands for a file of another name, and never has a line.
    pub(crate) fn is_guard(&self) -> bool {
        self.session_name().as_encoded_bytes().ends_with(GUARD_SUFFIX.as_bytes())
    }

    /// Whether a file of this name is a session's lock file.
    pub(crate) fn is_lock_name(name: &OsStr) -> bool {
        let session = strip_suffix(name, LOCK_SUFFIX);
        session.is_some_and(|session| strip_suffix(session, SESSION_SUFFIX).is_some())
    }

    /// The directory, to which all work on the session's files is relative.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Whether the path of the directory still names it. Work is done in the directory that was
    /// opened, wherever it is by now. But a session that was moved away is not the one that its
    /// users look for.
    pub(crate) fn is_where_it_was(&self) -> Result<bool> {
        self.dir.is_at_its_path().context("look at", self.dir.path())
    }

    /// Whether the path by which `session` was named still leads to the directory. A link on it may
    /// lead elsewhere since.
    pub(crate) fn is_still_in(&self, session: &Path) -> Result<bool> {
        match session.parent() {
            Some(dir) if dir != self.dir.path() => self.dir.is_at(dir).context("look at", dir),
            _ => Ok(true),
        }
    }

    /// The path of the lock file, for messages.
    pub(crate) fn lock(&self) -> &Path {
        &self.lock
    }

    /// The path of the session file, for messages.
    pub(crate) fn session(&self) -> &Path {
        Path::new(strip_suffix(self.lock.as_os_str(), LOCK_SUFFIX).unwrap_or_default())
    }

    /// The name of the lock file in the directory.
    pub(crate) fn lock_name(&self) -> &OsStr {
        self.lock.file_name().unwrap_or_default()
    }

    /// The name of the session file in the directory.
    pub(crate) fn session_name(&self) -> &OsStr {
        self.session().file_name().unwrap_or_default()
    }

    /// Whether the lock path names this open file, which has no other name. Then the directory is
    /// where it was, too: one look tells both. `false` says nothing.
    pub(crate) fn is_only_lock(&self, lock: &Pinned) -> bool {
        lock.is_only_at(&self.lock)
    }

    /// Compares what the lock path names now with an open file.
    pub(crate) fn compare_lock(&self, lock: &Pinned) -> Result<Found> {
        self.dir.compare(self.lock_name(), lock).context("look at", &self.lock)
    }

    /// On a server's filesystem, asks the server about the directory, so that this host knows its
    /// names as they are now (I18).
    pub(crate) fn ask_server(&self) {
        self.dir.ask_server();
    }

    /// Compares what the lock path names, as far as this host knows, with an open file. Follows
    /// [`ask_server`](Self::ask_server).
    pub(crate) fn compare_lock_as_known(&self, lock: &Pinned) -> Result<Found<()>> {
        self.dir.compare_as_known(self.lock_name(), lock).context("look at", &self.lock)
    }

    /// The same for the session path.
    pub(crate) fn compare_session_as_known(&self, session: &Pinned) -> Result<Found<()>> {
        self.dir.compare_as_known(self.session_name(), session).context("look at", self.session())
    }

    /// Compares what the session path names now with an open file.
    pub(crate) fn compare_session(&self, session: &Pinned) -> Result<Found> {
        self.dir.compare(self.session_name(), session).context("look at", self.session())
    }

    /// Removes what the lock path names. If somebody else has removed it just now, that is as good.
    pub(crate) fn remove_lock(&self) -> Result<()> {
        match self.dir.remove(self.lock_name()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.context("remove", &self.lock),
        }
    }

    /// What the lock path names; `None` if it names nothing.
    pub(crate) fn stat_lock(&self) -> Result<Option<Stat>> {
        self.dir.stat(self.lock_name()).context("look at", &self.lock)
    }

    /// What the session path names; `None` if it names nothing.
    pub(crate) fn stat_session(&self) -> Result<Option<Stat>> {
        self.dir.stat(self.session_name()).context("look at", self.session())
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        // A directory that was moved is another place: who came by the old path is told that its
        // turn is lost.
        self.dir == other.dir && self.lock == other.lock
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dir.hash(state);
        self.lock.hash(state);
    }
}

/// The directories in which this process uses sessions: one descriptor for each.
static DIRECTORIES: LazyLock<Mutex<HashMap<DirNumber, Weak<Dir>>>> = LazyLock::new(Mutex::default);
/// When there are so many entries, those of closed directories are forgotten.
const MANY: usize = 1 << 10;

/// The directory that a file is in.
fn directory_of(file: &Path, create: bool) -> Result<Arc<Dir>> {
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    match open_shared(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
            Dir::create_all(dir).context("create the directory", dir).map(share)
        }
        opened => opened.context("find the directory", dir),
    }
}

/// Opens a directory, and shares its descriptor if it is already open.
pub(crate) fn open_shared(dir: &Path) -> io::Result<Arc<Dir>> {
    Dir::open(dir).map(share)
}

fn share(dir: Dir) -> Arc<Dir> {
    let mut known = DIRECTORIES.lock();
    // It may have been moved since.
    if let Some(open) = known.get(&dir.number()).and_then(Weak::upgrade)
        && *open == dir
        && open.path() == dir.path()
    {
        return open;
    }
    if known.len() >= MANY {
        known.retain(|_, dir| dir.strong_count() > 0);
    }
    let dir = Arc::new(dir);
    known.insert(dir.number(), Arc::downgrade(&dir));
    dir
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_somebody_has_removed_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), false).unwrap();
        std::fs::write(place.lock(), "{}").unwrap();
        place.remove_lock().unwrap();
        assert!(!place.lock().exists());
        place.remove_lock().unwrap();
    }
}
