//! The quarantine: the file beside a session that keeps what a repair takes out.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use hmac_sha256::Hash as Sha256;
use uuid::Uuid;

use super::read::Transcript;
use super::rewrite::temporary_name;
use crate::error::{Context, Error, ReadError, Result};
use crate::place::Place;
use crate::sys::{self, Access, FileKind, Pinned, Stat, flock, limit, stand_beside};
use crate::transcript::quarantine::{mark_installed, mark_undone};

/// A quarantine, open for more entries, which begin on a line of their own.
///
/// Several processes may write to it at once: a holder whose turn was revoked continues until it
/// reaches the fence. A process that has passed the fence therefore checks that the path still
/// names the file it wrote into. Nobody else removes that name.
#[derive(Debug)]
pub(crate) struct QuarantineFile {
    file: Pinned,
    place: Place,
    /// Its path, for messages.
    path: PathBuf,
    /// Whether it was created by this call.
    created: bool,
    /// Its length when it was opened.
    old_len: u64,
    /// How many bytes this process has added.
    written: u64,
}

impl QuarantineFile {
    pub(crate) fn open(place: &Place, like: &File) -> Result<Self> {
        let path = quarantine_path(place.session());
        let (file, created) = open_or_create(place, &path)?;
        let (file, facts) = Pinned::new(file).context("look at", &path)?;
        let (place, old_len) = (place.clone(), facts.len);
        let mut this = Self { file, place, path, created, old_len, written: 0 };
        this.make_fit(&facts, like)?;
        Ok(this)
    }

    fn make_fit(&mut self, facts: &Stat, like: &File) -> Result<()> {
        let refuse = |reason| Err(Error::NotASession { path: self.path.clone(), reason });
        if facts.kind != FileKind::File {
            return refuse("the quarantine's place is taken by something that is not a file");
        }
        let dir = self.place.dir();
        dir.ensure_writable(facts).context("use", &self.path)?;
        if !self.created {
            let session = sys::stat(like).context("look at", self.place.session())?;
            dir.ensure_beside(facts, &session).context("use", &self.path)?;
        }
        if facts.links > 1 {
            self.separate().context("give a file of its own to", &self.path)?;
        }
        // A file that was there before keeps its owner.
        if self.created {
            stand_beside(self.file(), like).context("give to the session's users", &self.path)?;
        }
        self.end_last_line(facts.len).context("write", &self.path)
    }

    /// Puts a copy in the place of a file that has a second name, as in a snapshot. What is written
    /// does not concern what has that name.
    fn separate(&mut self) -> io::Result<()> {
        let (dir, name) = (self.place.dir(), temporary_name());
        let copy = dir.create_file(&name, Access::Append)?;
        let copied = fill_copy(&copy, self.file())
            .and_then(|()| Pinned::new(copy))
            .and_then(|(copy, _)| dir.rename(&name, &quarantine_name(&self.place)).map(|()| copy));
        match copied {
            Ok(copy) => {
                self.file = copy;
                Ok(())
            }
            Err(e) => {
                // The first error is the one to report.
                let _ = dir.remove(&name);
                Err(e)
            }
        }
    }

    fn end_last_line(&mut self, len: u64) -> io::Result<()> {
        let mut last = *b"\n";
        if len > 0 {
            sys::read_exact_at(self.file(), &mut last, len - 1)?;
        }
        if last == *b"\n" { Ok(()) } else { self.write_all(b"\n") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self) -> &File {
        self.file.file()
    }

    /// Syncs its entries and its name, so that they survive the loss of power.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file().sync_all().context("sync", &self.path)?;
        self.place.dir().sync(self.file()).context("sync", self.place.dir().path())
    }

    /// Notes that the repaired file is in place.
    pub(crate) fn note_installed(&mut self, repair: Uuid) -> Result<()> {
        mark_installed(&mut *self, repair)
            .and_then(|()| self.file().sync_data())
            .context("write", &self.path)
    }

    /// Notes that a repair was taken back.
    pub(crate) fn note_undone(&mut self, repair: Uuid) -> Result<()> {
        mark_undone(&mut *self, repair)
            .and_then(|()| self.file().sync_all())
            .context("write", &self.path)
    }

    /// Fails unless the path still names the file that was written into. Under the data lock, with
    /// the fence passed.
    pub(crate) fn ensure_named(&self) -> Result<()> {
        if self.is_named().context("look at", &self.path)? {
            return Ok(());
        }
        Err(io::Error::other(
            "it was removed or replaced meanwhile; the session is as it was: repair it again",
        ))
        .context("use", &self.path)
    }

    /// Takes back what a failed repair has written, unless a former holder has written behind it.
    /// Removes the file if it was created by this call and is empty then. Under the data lock, with
    /// the fence passed.
    ///
    /// If this fails, entries stay that are not marked as installed, which do no harm.
    pub(crate) fn cut_back(&self) {
        if !self.is_named().unwrap_or(false) {
            return;
        }
        let len = || sys::stat(self.file()).map(|facts| facts.len);
        if self.written > 0 && len().is_ok_and(|len| len == self.old_len + self.written) {
            let _ = self.file().set_len(self.old_len);
        }
        if self.created && len().is_ok_and(|len| len == 0) {
            let _ = self.place.dir().remove(&quarantine_name(&self.place));
        }
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(self.place.dir().compare(&quarantine_name(&self.place), &self.file)?.is_this())
    }
}

impl Write for QuarantineFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = sys::stat(self.file())?.len + bytes.len() as u64;
        let written = limit::within(end, || self.file().write(bytes))?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fill_copy(mut copy: &File, mut original: &File) -> io::Result<()> {
    // Shows a sweep that the file is in use.
    flock::try_lock(copy)?;
    original.rewind()?;
    io::copy(&mut original, &mut copy)?;
    stand_beside(copy, original)?;
    copy.sync_all()?;
    flock::unlock(copy);
    Ok(())
}

/// The file, and whether it was created.
fn open_or_create(place: &Place, path: &Path) -> Result<(File, bool)> {
    let (dir, name) = (place.dir(), quarantine_name(place));
    loop {
        match dir.open_file(&name, Access::Append) {
            Ok(file) => return Ok((file, false)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(dir.why_closed(&name, e)).context("open", path);
            }
            Err(e) => return Err(e).context("open", path),
        }
        match dir.create_file(&name, Access::Append) {
            Ok(file) => return Ok((file, true)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).context("create", path),
        }
    }
}

/// Opens the quarantine of a session to read its entries.
pub(crate) fn open_to_read(
    place: &Place,
    session: &File,
) -> std::result::Result<Transcript, ReadError> {
    let dir = place.dir();
    let file = dir.open_file(&quarantine_name(place), Access::Read).and_then(|file| {
        let facts = sys::stat(&file)?;
        dir.ensure_writable(&facts)?;
        dir.ensure_beside(&facts, &sys::stat(session)?)?;
        Ok(file)
    });
    Transcript::opened(file, &quarantine_path(place.session()))
}

const SUFFIX: &str = ".damaged";
/// Precedes a digest of the session's name if that is too long for the suffix.
const NAMELESS: &str = ".turnlock-damaged-";
/// The longest name that filesystems allow.
const LONGEST_NAME: usize = 255;

fn quarantine_name(place: &Place) -> OsString {
    name_of(place.session_name())
}

/// The name of the quarantine of a session.
pub(crate) fn name_of(session: &OsStr) -> OsString {
    name_beside(session, SUFFIX, NAMELESS)
}

/// The name of a file beside a session: with this suffix, or, if that is too long, a digest behind
/// `nameless`.
pub(super) fn name_beside(session: &OsStr, suffix: &str, nameless: &str) -> OsString {
    if session.len() + suffix.len() <= LONGEST_NAME {
        let mut name = session.to_owned();
        name.push(suffix);
        return name;
    }
    let digest = Sha256::hash(session.as_encoded_bytes());
    let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{nameless}{digest}").into()
}

/// The path of a session's quarantine.
pub(crate) fn quarantine_path(session: &Path) -> PathBuf {
    let name = session.file_name().unwrap_or_default();
    session.with_file_name(name_of(name))
}
