//! The quarantine: the file beside a session that keeps what a repair takes out.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::read::{ReadError, Transcript};
use super::rewrite::temporary_name;
use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::sys::limit::ensure_within;
use crate::sys::{self, Access, FileKind, flock, stand_beside};
use crate::transcript::quarantine::mark_undone;

/// A quarantine, open for more entries, which begin on a line of their own.
///
/// Several processes may write to it at once: a holder whose turn was revoked continues until it
/// reaches the fence. A process that has passed the fence therefore checks that the path still
/// names the file it wrote into. Nobody else removes that name.
#[derive(Debug)]
pub(crate) struct QuarantineFile {
    file: File,
    place: Place,
    /// Its path, for messages.
    path: PathBuf,
    /// Whether it was created by this call.
    created: bool,
}

impl QuarantineFile {
    pub(crate) fn open(place: &Place, like: &File) -> Result<Self> {
        let path = quarantine_path(place.session());
        let (file, created) = open_or_create(place, &path)?;
        let mut this = Self { file, place: place.clone(), path, created };
        this.make_fit(like)?;
        Ok(this)
    }

    fn make_fit(&mut self, like: &File) -> Result<()> {
        let facts = sys::stat(&self.file).context("look at", &self.path)?;
        let refuse = |reason| Err(Error::NotASession { path: self.path.clone(), reason });
        if facts.kind != FileKind::File {
            return refuse("the quarantine's place is taken by something that is not a file");
        }
        let dir = self.place.dir();
        dir.ensure_writable(&facts).context("use", &self.path)?;
        if facts.links > 1 {
            self.separate().context("give a file of its own to", &self.path)?;
        }
        // A file that was there before keeps its owner.
        if self.created {
            stand_beside(&self.file, like).context("give to the session's users", &self.path)?;
        }
        self.end_last_line(facts.len).context("write", &self.path)
    }

    /// Puts a copy in the place of a file that has a second name, as in a snapshot. What is written
    /// does not concern what has that name.
    fn separate(&mut self) -> io::Result<()> {
        let (dir, name) = (self.place.dir(), temporary_name());
        let copy = dir.create_file(&name, Access::Append)?;
        let copied = fill_copy(&copy, &self.file)
            .and_then(|()| dir.rename(&name, &quarantine_name(&self.place)));
        match copied {
            Ok(()) => self.file = copy,
            // The first error is the one to report.
            Err(_) => drop(dir.remove(&name)),
        }
        copied
    }

    fn end_last_line(&mut self, len: u64) -> io::Result<()> {
        let mut last = *b"\n";
        if len > 0 {
            sys::read_exact_at(&self.file, &mut last, len - 1)?;
        }
        if last == *b"\n" { Ok(()) } else { self.write_all(b"\n") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs its entries and its name, so that they survive the loss of power.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().context("sync", &self.path)?;
        self.place.dir().sync(&self.file).context("sync", self.place.dir().path())
    }

    /// Notes that a repair was taken back.
    pub(crate) fn note_undone(&mut self, repair: Uuid) -> Result<()> {
        mark_undone(self, repair).and_then(|()| self.file.sync_all()).context("write", &self.path)
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

    /// Removes it if it was created by this call and is empty. Under the data lock, with the fence
    /// passed.
    pub(crate) fn discard_unused(&self) {
        let empty = self.file.metadata().is_ok_and(|facts| facts.len() == 0);
        if self.created && empty && self.is_named().unwrap_or(false) {
            // If this fails, an empty quarantine stays, which does no harm.
            let _ = self.place.dir().remove(&quarantine_name(&self.place));
        }
    }

    fn is_named(&self) -> io::Result<bool> {
        let ours = sys::stat(&self.file)?.id;
        Ok(self.place.dir().id_of(&quarantine_name(&self.place))? == Some(ours))
    }
}

impl Write for QuarantineFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ensure_within(sys::stat(&self.file)?.len + bytes.len() as u64)?;
        self.file.write(bytes)
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
pub(crate) fn open_to_read(place: &Place) -> std::result::Result<Transcript, ReadError> {
    let dir = place.dir();
    let file = dir.open_file(&quarantine_name(place), Access::Read).and_then(|file| {
        dir.ensure_writable(&sys::stat(&file)?)?;
        Ok(file)
    });
    Transcript::opened(file, &quarantine_path(place.session()))
}

const SUFFIX: &str = ".damaged";

fn quarantine_name(place: &Place) -> OsString {
    let mut name = place.session_name().to_owned();
    name.push(SUFFIX);
    name
}

/// The path of a session's quarantine.
pub(crate) fn quarantine_path(session: &Path) -> PathBuf {
    let mut path = session.as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}
