//! A rewrite is a rename (I11): the new file is built beside, and takes the old one's place under the old one's data lock.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::attributes::take_after;
use super::limit::ensure_within;
use super::{DataLock, SessionFile};
use crate::error::{Context, Error, Result};
use crate::flock;
use crate::place::{FileId, Place};

/// Between a session's name and an identity: the new file before it is renamed.
const INFIX: &str = ".rewrite-";
const SUFFIX: &str = ".tmp";
/// Before the identity, where a session's name leaves no room for it.
const NAMELESS: &str = ".turnlock-rewrite-";
/// How much is copied at a time.
const CHUNK: u64 = 256 * 1024;

/// The file that is to take the session file's place. Dropped before that, it is removed.
#[derive(Debug)]
pub(crate) struct Replacement {
    file: File,
    path: PathBuf,
    place: Place,
    len: u64,
    /// It ends inside a line.
    torn: bool,
}

impl Replacement {
    /// An empty one beside the session file, with its owner, mode and attributes.
    pub(crate) fn beside(place: &Place, like: &File) -> Result<Self> {
        let identity = Uuid::now_v7();
        let mut path = name_beside(place, identity);
        let created = match create(&path) {
            Err(e) if e.kind() == io::ErrorKind::InvalidFilename => {
                path = place.dir().join(format!("{NAMELESS}{identity}{SUFFIX}"));
                create(&path)
            }
            created => created,
        };
        let file = created.context("create", &path)?;
        let this = Self { file, path, place: place.clone(), len: 0, torn: false };
        // Who clears up sees by the lock that somebody works with it; and it is the data lock once the file is in place.
        flock::try_lock(&this.file).context("lock", &this.path)?;
        take_after(&this.file, like).context("give owner, access list and mode to", &this.path)?;
        Ok(this)
    }

    /// How long it is by now.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Carries over a part of the old file, as it is.
    pub(crate) fn carry(&mut self, from: &File, mut range: Range<u64>) -> Result<()> {
        let mut chunk = vec![0; CHUNK.min(range.end.saturating_sub(range.start)) as usize];
        while range.start < range.end {
            let size = CHUNK.min(range.end - range.start) as usize;
            from.read_exact_at(&mut chunk[..size], range.start)
                .context("read", self.place.session())?;
            self.write_all(&chunk[..size]).context("write", &self.path)?;
            range.start += size as u64;
        }
        Ok(())
    }

    /// Carries over a part of the old file as lines of their own.
    pub(crate) fn carry_lines(&mut self, from: &File, mut range: Range<u64>) -> Result<()> {
        // A post that met a torn tail brought the newline that closes it; what the tail is behind here is another matter.
        let mut first = [0];
        while range.start < range.end {
            from.read_exact_at(&mut first, range.start).context("read", self.place.session())?;
            if first[0] != b'\n' {
                break;
            }
            range.start += 1;
        }
        if self.torn && !range.is_empty() {
            self.write_all(b"\n").context("write", &self.path)?;
        }
        self.carry(from, range)
    }

    /// Makes it survive the loss of power, before it is needed.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().context("sync", &self.path)
    }

    /// Takes the session file's place. What comes back is the data lock of the new file, taken before anybody could see it, and whether its name
    /// is synced.
    pub(crate) fn install(self, old: DataLock) -> Result<(DataLock, Result<()>)> {
        self.sync()?;
        let stat = rustix::fs::fstat(&self.file).context("look at", &self.path)?;
        let file = self.file.try_clone().context("keep open", &self.path)?;
        let dir = File::open(self.place.dir()).context("open", self.place.dir())?;
        std::fs::rename(&self.path, self.place.session())
            .context("put in place", self.place.session())?;
        // From here on it is the session file, whatever else fails.
        drop(old);
        let session = SessionFile { file, id: FileId::of(&stat), created: false, sealed_to: 0 };
        let new = DataLock { session: Some(session), len: self.len, place: self.place.clone() };
        let unsynced =
            |source| Error::Unsynced { session: self.place.session().to_owned(), source };
        Ok((new, dir.sync_all().map_err(unsynced)))
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ensure_within(self.len + bytes.len() as u64)?;
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        if let Some(last) = bytes[..written].last() {
            self.torn = *last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Only if it never took its place: the rename took the name away.
        if FileId::named_by(&self.path).is_ok_and(|named| named.is_some()) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)
}

fn name_beside(place: &Place, identity: Uuid) -> PathBuf {
    let mut path = place.session().as_os_str().to_owned();
    path.push(format!("{INFIX}{identity}{SUFFIX}"));
    path.into()
}

/// Whether it is what an interrupted rewrite left behind, by its name.
pub(crate) fn is_leftover(name: &OsStr) -> bool {
    let bare =
        || name.as_bytes().strip_prefix(NAMELESS.as_bytes())?.strip_suffix(SUFFIX.as_bytes());
    leftover_of(Path::new(name)).is_some()
        || bare().is_some_and(|identity| Uuid::try_parse_ascii(identity).is_ok())
}

/// The session whose interrupted rewrite left this file behind, if its name tells.
pub(crate) fn leftover_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.as_bytes().strip_suffix(SUFFIX.as_bytes())?;
    let at = memchr::memmem::rfind(name, INFIX.as_bytes())?;
    let (session, identity) = (&name[..at], &name[at + INFIX.len()..]);
    Uuid::try_parse_ascii(identity).ok()?;
    session.ends_with(b".jsonl").then(|| path.with_file_name(OsStr::from_bytes(session)))
}
