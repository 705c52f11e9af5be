//! The quarantine as a file, beside its session.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::sys::limit::ensure_within;
use crate::sys::{self, Access, FileKind, give_owner_of};
use crate::transcript::quarantine::mark_undone;

/// A quarantine, open for more entries, at the beginning of a line.
///
/// Several may be at it: a holder whose turn was revoked goes on until it comes to the fence. So whoever has the fence passed looks whether
/// the path still names what it wrote into, and nobody else takes the name away.
#[derive(Debug)]
pub(crate) struct QuarantineFile {
    file: File,
    place: Place,
    /// Its path, for messages.
    path: PathBuf,
    /// By this call.
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
            return refuse("the quarantine's place is taken by something that is no file");
        }
        if facts.links > 1 {
            return refuse(
                "the quarantine's place is taken by a file that has several names (hard links)",
            );
        }
        // What was there before is somebody's already.
        if self.created {
            give_owner_of(like, &self.file).context("give to the session's owner", &self.path)?;
        }
        self.end_last_line(facts.len).context("write", &self.path)
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

    /// Makes its entries, and its name, survive the loss of power.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().context("sync", &self.path)?;
        self.place.dir().sync().context("sync", self.place.dir().path())
    }

    /// Notes that a repair was taken back.
    pub(crate) fn note_undone(&mut self, repair: Uuid) -> Result<()> {
        mark_undone(self, repair).and_then(|()| self.file.sync_all()).context("write", &self.path)
    }

    /// That what was written into it can be found by its name. Under the data lock, with the fence passed.
    pub(crate) fn ensure_named(&self) -> Result<()> {
        if self.is_named().context("look at", &self.path)? {
            return Ok(());
        }
        Err(io::Error::other(
            "it was removed or replaced meanwhile; the session is as it was: repair it again",
        ))
        .context("use", &self.path)
    }

    /// Removes it if it was made in vain. Under the data lock, with the fence passed.
    pub(crate) fn discard_unused(&self) {
        let empty = self.file.metadata().is_ok_and(|facts| facts.len() == 0);
        if self.created && empty && self.is_named().unwrap_or(false) {
            // If it stays it does no harm.
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

/// The file, and whether it was created.
fn open_or_create(place: &Place, path: &Path) -> Result<(File, bool)> {
    let (dir, name) = (place.dir(), quarantine_name(place));
    loop {
        match dir.open_file(&name, Access::Append) {
            Ok(file) => return Ok((file, false)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).context("open", path),
        }
        match dir.create_file(&name, Access::Append) {
            Ok(file) => return Ok((file, true)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).context("create", path),
        }
    }
}

const SUFFIX: &str = ".damaged";

fn quarantine_name(place: &Place) -> OsString {
    let mut name = place.session_name().to_owned();
    name.push(SUFFIX);
    name
}

/// Where what a repair takes out of a session goes.
pub(crate) fn quarantine_path(session: &Path) -> PathBuf {
    let mut path = session.as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}
