//! A rewrite is a rename (I11): the new file is built beside the old one, and replaces it under the
//! old one's data lock.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::unused::remove_of_dead_rewrites;
use super::{Section, SessionFile, origin};
use crate::error::{Context, Error, LostCause, MOUNTED, Result, SessionChange};
use crate::faults::{self, Step};
use crate::outside::note;
use crate::place::Place;
use crate::sys::{self, Access, Pinned, filesystem, flock, limit, replace_like, strip_suffix};
use crate::transcript::moves::Moves;
use crate::transcript::sink::Sink;

/// A new file is named `<session>.rewrite-<identity>.tmp` until it is renamed.
const INFIX: &str = ".rewrite-";
const SUFFIX: &str = ".tmp";
/// Precedes the identity if the session's name is too long for that.
const NAMELESS: &str = ".turnlock-rewrite-";
/// How much is copied at a time.
const CHUNK: u64 = 256 * 1024;

/// The file that is to replace the session file. If it is dropped before that, it is removed.
#[derive(Debug)]
pub(crate) struct Replacement {
    file: Arc<Pinned>,
    name: OsString,
    /// Its path, for messages.
    path: PathBuf,
    place: Place,
    len: u64,
    /// What was carried over from the old file, and where it began there.
    carried: Moves,
    /// Whether it ends inside a line.
    torn: bool,
    /// Whether it has all flags of the old file.
    has_flags: bool,
    /// Whether it gets the old file's time of last change.
    keeps_time: bool,
}

impl Replacement {
    /// Creates an empty one beside the session file, with that file's owner, mode and attributes.
    ///
    /// What dead rewrites of this session left behind is removed first: it may be large.
    pub(crate) fn beside(place: &Place, like: &File) -> Result<Self> {
        remove_of_dead_rewrites(place);
        let dir = place.dir();
        let mut name = place.session_name().to_owned();
        name.push(format!("{INFIX}{}{SUFFIX}", Uuid::now_v7()));
        let created = match dir.create_file(&name, Access::Append) {
            Err(e) if e.kind() == io::ErrorKind::InvalidFilename => {
                name = temporary_name();
                dir.create_file(&name, Access::Append)
            }
            created => created,
        };
        let path = dir.path().join(&name);
        let file = created.context("create", &path)?;
        let (file, _) = Pinned::new(file).context("look at", &path)?;
        let (file, place) = (Arc::new(file), place.clone());
        // Some flags can be set only as long as it is empty and its maker's.
        let has_flags = sys::keep_flags(file.file(), like);
        let (carried, torn, keeps_time) = (Moves::default(), false, false);
        let this = Self { file, name, path, place, len: 0, carried, torn, has_flags, keeps_time };
        if !has_flags {
            note!(WARN, [place = this.place.clone()],
                session = %place.session().display(),
                "not all file flags of the session can be given to its new file");
        }
        // Shows a sweep that the file is in use. Once the file is in place, this is its data lock
        // (I11).
        if !flock::try_lock(this.file.file()).context("lock", &this.path)? {
            // Only a sweep can be that fast: it takes the file for a leftover.
            return Err(io::ErrorKind::WouldBlock).context("lock", &this.path);
        }
        replace_like(this.file.file(), like)
            .context("give owner, access list and mode to", &this.path)?;
        Ok(this)
    }

    /// What tells it from every other file, for a record. `None` where the system has nothing like
    /// that.
    pub(crate) fn trace(&self) -> Option<String> {
        self.file.trace().map(|trace| trace.to_string())
    }

    /// Whether it has all flags of the old file that `chattr` sets.
    pub(crate) fn has_flags(&self) -> bool {
        self.has_flags
    }

    /// It will say what the old file says, and gets the time when that was last changed. If both
    /// have the same length, a backup would take it for unchanged, and the time is that of now.
    pub(crate) fn keep_time(&mut self) {
        self.keeps_time = true;
    }

    /// How many bytes it has so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Carries over a part of the old file unchanged.
    pub(crate) fn carry(&mut self, from: &File, mut range: Range<u64>) -> Result<()> {
        let (first, old_start) = (self.len, range.start);
        let mut chunk = vec![0; CHUNK.min(range.end.saturating_sub(range.start)) as usize];
        while range.start < range.end {
            let size = CHUNK.min(range.end - range.start) as usize;
            self.read(from, &mut chunk[..size], range.start)?;
            self.write_all(&chunk[..size]).context("write", &self.path)?;
            range.start += size as u64;
        }
        self.carried.add(old_start, first, self.len - first);
        Ok(())
    }

    /// It has these parts of the old file.
    pub(crate) fn has(&mut self, parts: Moves) {
        self.carried = parts;
    }

    /// Reads the old file. A program without the data lock may have cut it since it was measured.
    fn read(&self, from: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
        let session = self.place.session();
        match sys::read_exact_at(from, buffer, offset) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Error::Changed { session: session.to_owned(), how: SessionChange::Shortened })
            }
            read => read.context("read", session),
        }
    }

    /// Carries over a part of the old file as lines of their own.
    pub(crate) fn carry_lines(&mut self, from: &File, mut range: Range<u64>) -> Result<()> {
        // Leading newlines sealed a torn tail of the old file. Whether this file needs one here is
        // another question.
        let mut first = [0];
        while range.start < range.end {
            self.read(from, &mut first, range.start)?;
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

    /// Syncs it ahead of time, so that [`install`](Self::install) has little left to sync.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.file().sync_all().context("sync", &self.path)
    }

    /// Replaces the session file. Carries over what a program without the data lock wrote into the
    /// old one just before that.
    pub(crate) fn install(mut self, old: Section) -> Result<Installed> {
        debug_assert!(old.is_of(&self.place));
        origin::tell(&self.file, self.len, old.pinned(), self.carried.list());
        if self.keeps_time
            && self.len != old.len()
            && let Err(error) = take_time(self.file.file(), old.file())
        {
            note!(WARN, [place = self.place.clone(), error = error.to_string()],
                session = %place.session().display(),
                %error,
                "the time of the session's last change cannot be kept");
        }
        self.sync()?;
        let place = self.place.clone();
        let dir = place.dir();
        faults::at(Step::Rename, place.session()).context("put in place", place.session())?;
        if filesystem::is_served(dir) {
            self.ensure_locked(&old)?;
        }
        dir.rename(&self.name, self.place.session_name()).map_err(|e| self.not_in_place(e))?;
        // From here on this is the session file, whatever else fails.
        let mut carried_to = old.len();
        let carried = self.carry_late(&old, &mut carried_to);
        // The sync gives time to those who had opened the old file before.
        let synced = carried.and_then(|()| dir.sync(self.file.file()));
        let synced = synced.and_then(|()| self.carry_late(&old, &mut carried_to));
        let late = carried_to - old.len();
        if late > 0 {
            origin::tell(&self.file, self.len, old.pinned(), self.carried.list());
        }
        let stat = sys::stat(self.file.file()).context("look at", &self.path)?;
        drop(old);
        let session = SessionFile::installed(Arc::clone(&self.file));
        let section = Section::new(session, &stat, &self.place);
        let unsynced =
            |source| Error::Unsynced { session: self.place.session().to_owned(), source };
        Ok(Installed { section, late, synced: synced.map_err(unsynced) })
    }

    /// A sync may take longer than a server's lease, and a rename goes by no lock. If the data lock
    /// is lost, the lines of others may be in the old file by now (I20).
    fn ensure_locked(&self, old: &Section) -> Result<()> {
        let (place, lock) = (&self.place, self.place.lock());
        let lost = |cause| Err(Error::LockLost { lock: lock.to_owned(), cause });
        // With this request a host learns whether its lease has run out (I18).
        if !place.compare_session(old.pinned())?.is_this() {
            return lost(LostCause::Expired);
        }
        // A lock that was given up may be granted again. A read then still fails. It has to ask the
        // server, since the lock empties the copy.
        let held = flock::try_lock(old.file()).and_then(|is_locked| {
            match sys::read_exact_at(old.file(), &mut [0], 0) {
                Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(e),
                _ => Ok(is_locked),
            }
        });
        match held {
            Ok(true) => Ok(()),
            Err(e) if !sys::is_given_up(&e) => Err(e).context("look at", place.session()),
            Ok(false) | Err(_) => lost(LostCause::Expired),
        }
    }

    /// Why the file cannot be put in place.
    fn not_in_place(&self, source: io::Error) -> Error {
        let path = self.place.session().to_owned();
        match source.kind() {
            // An old kernel, or a sandbox, does not tell that when the file is opened.
            io::ErrorKind::ResourceBusy => Error::NotASession { path, reason: MOUNTED },
            _ => Error::Io { action: "put in place", path, source },
        }
    }

    /// Carries over what was written into the old file behind `from`, and moves `from` behind it.
    fn carry_late(&mut self, old: &Section, from: &mut u64) -> io::Result<()> {
        let range = *from..sys::stat(old.file())?.len;
        if range.is_empty() {
            return Ok(());
        }
        // If this file ends inside a line, so did the old one, and this goes on there.
        let carried = match self.torn {
            true => self.carry(old.file(), range.clone()),
            false => self.carry_lines(old.file(), range.clone()),
        };
        match carried {
            Ok(()) => {
                *from = range.end;
                self.file.file().sync_data()
            }
            // It was cut again.
            Err(Error::Changed { .. }) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// A new file in the session's place.
pub(crate) struct Installed {
    /// Its section. The data lock was taken before anybody could see the file.
    pub(crate) section: Section,
    /// How many bytes at its end were written into the old file while that was replaced.
    pub(crate) late: u64,
    /// Whether it is known to survive the loss of power.
    pub(crate) synced: Result<()>,
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.len + bytes.len() as u64;
        let written = limit::within(end, || self.file.file().write(bytes))?;
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

impl Sink for Replacement {
    fn hole(&mut self, count: u64) -> io::Result<()> {
        let end = self.len.saturating_add(count);
        limit::within(end, || self.file.file().set_len(end))?;
        self.len = end;
        self.torn = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After the rename the name no longer exists.
        if matches!(self.place.dir().stat(&self.name), Ok(Some(_))) {
            let _ = self.place.dir().remove(&self.name);
        }
    }
}

fn take_time(new: &File, old: &File) -> io::Result<()> {
    new.set_modified(old.metadata()?.modified()?)
}

/// The name of a temporary file that does not say which session it is of.
pub(super) fn temporary_name() -> OsString {
    format!("{NAMELESS}{}{SUFFIX}", Uuid::now_v7()).into()
}

/// Whether a file of this name is what an interrupted rewrite left behind.
pub(crate) fn is_leftover(name: &OsStr) -> bool {
    let bare = || {
        let name = name.as_encoded_bytes();
        name.strip_prefix(NAMELESS.as_bytes())?.strip_suffix(SUFFIX.as_bytes())
    };
    leftover_of(Path::new(name)).is_some()
        || bare().is_some_and(|identity| Uuid::try_parse_ascii(identity).is_ok())
}

/// The session whose interrupted rewrite left this file behind, if the name tells.
pub(crate) fn leftover_of(path: &Path) -> Option<PathBuf> {
    let name = strip_suffix(path.file_name()?, SUFFIX)?;
    let at = memchr::memmem::rfind(name.as_encoded_bytes(), INFIX.as_bytes())?;
    let from_infix = &name.as_encoded_bytes()[at..];
    Uuid::try_parse_ascii(&from_infix[INFIX.len()..]).ok()?;
    let session = strip_suffix(name, std::str::from_utf8(from_infix).ok()?)?;
    let is_session = session.as_encoded_bytes().ends_with(b".jsonl");
    is_session.then(|| path.with_file_name(session))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datafile::SOON;

    /// Another program cuts the session after the section has measured it.
    #[test]
    fn a_cut_while_lines_are_carried_over_is_told_and_nothing_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        for left in ["", "{}\n", "\n"] {
            std::fs::write(place.session(), "\n{}\n{}\n").unwrap();
            let section = Section::lock_within(SOON, &place, false).unwrap().unwrap();
            let mut new = Replacement::beside(&place, section.file()).unwrap();
            std::fs::write(place.session(), left).unwrap();
            for lines in [true, false] {
                let carried = match lines {
                    true => new.carry_lines(section.file(), 0..section.len()),
                    false => new.carry(section.file(), 0..section.len()),
                };
                assert!(
                    matches!(carried, Err(Error::Changed { how: SessionChange::Shortened, .. })),
                    "{carried:?}"
                );
            }
            drop(new);
            assert_eq!(std::fs::read_to_string(place.session()).unwrap(), left);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Another program has the old file open, and writes after the section has measured it.
    #[test]
    fn what_was_written_into_the_old_file_meanwhile_is_in_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        for (old, kept, late, expected) in [
            ("{}\n", "1\n", "2\n3\n", "1\n2\n3\n"),
            // The old file was sealed, or the torn line was kept, and goes on.
            ("{}\n{\"to", "1\n", "\n2\n", "1\n2\n"),
            ("{}\n{\"to", "1\n{\"to", "rn\":1}\n2\n", "1\n{\"torn\":1}\n2\n"),
            ("", "", "2\n", "2\n"),
        ] {
            std::fs::write(place.session(), old).unwrap();
            let mut other = File::options().append(true).open(place.session()).unwrap();
            let section = Section::lock_within(SOON, &place, false).unwrap().unwrap();
            let mut new = Replacement::beside(&place, section.file()).unwrap();
            new.write_all(kept.as_bytes()).unwrap();
            other.write_all(late.as_bytes()).unwrap();
            let Installed { section, late: count, synced } = new.install(section).unwrap();
            synced.unwrap();
            assert_eq!((count, section.len()), (late.len() as u64, expected.len() as u64));
            assert_eq!(std::fs::read_to_string(place.session()).unwrap(), expected);
        }
    }
}
