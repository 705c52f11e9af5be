//! The quarantine as a file, beside its session.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use uuid::Uuid;

use crate::error::{Context, Error, Result};
use crate::place::{CAREFUL, FileId, Place};
use crate::transcript::limit::ensure_within;

/// A quarantine, open for more entries, at the beginning of a line.
///
/// Several may be at it: a holder whose turn was revoked goes on until it comes to the fence. So whoever has the fence passed looks whether
/// the path still names what it wrote into, and nobody else takes the name away.
#[derive(Debug)]
pub(crate) struct QuarantineFile {
    file: File,
    path: PathBuf,
    /// By this call.
    created: bool,
}

impl QuarantineFile {
    pub(crate) fn open(place: &Place, like: &File) -> Result<Self> {
        let path = quarantine_path(place.session());
        let (file, created) = open_or_create(&path)?;
        let mut this = Self { file, path, created };
        this.make_fit(place, like)?;
        Ok(this)
    }

    fn make_fit(&mut self, place: &Place, like: &File) -> Result<()> {
        let facts = self.file.metadata().context("look at", &self.path)?;
        let old = like.metadata().context("look at", place.session())?;
        let refuse = |reason| Err(Error::NotASession { path: self.path.clone(), reason });
        if !facts.is_file() {
            return refuse("the quarantine's place is taken by something that is no file");
        }
        if facts.nlink() > 1 {
            return refuse(
                "the quarantine's place is taken by a file that has several names (hard links)",
            );
        }
        // What was there before is somebody's already.
        if self.created && facts.uid() != old.uid() {
            fchown(&self.file, Some(old.uid()), Some(old.gid()))
                .context("give to the session's owner", &self.path)?;
        }
        self.end_last_line(facts.len()).context("write", &self.path)
    }

    fn end_last_line(&mut self, len: u64) -> io::Result<()> {
        let mut last = *b"\n";
        if len > 0 {
            self.file.read_exact_at(&mut last, len - 1)?;
        }
        if last == *b"\n" { Ok(()) } else { self.write_all(b"\n") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes its entries, and its name, survive the loss of power.
    pub(crate) fn sync(&self, place: &Place) -> Result<()> {
        self.file.sync_all().context("sync", &self.path)?;
        File::open(place.dir()).and_then(|dir| dir.sync_all()).context("sync", place.dir())
    }

    /// Notes that a repair was taken back.
    pub(crate) fn note_undone(&mut self, repair: Uuid) -> Result<()> {
        super::mark_undone(self, repair)
            .and_then(|()| self.file.sync_all())
            .context("write", &self.path)
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
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn is_named(&self) -> io::Result<bool> {
        let ours = FileId::of(&rustix::fs::fstat(&self.file)?);
        Ok(FileId::named_by(&self.path)? == Some(ours))
    }
}

impl Write for QuarantineFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ensure_within(self.file.metadata()?.len() + bytes.len() as u64)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// And whether it was created.
fn open_or_create(path: &Path) -> Result<(File, bool)> {
    let flags = OFlags::RDWR | OFlags::APPEND | CAREFUL;
    loop {
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => return Ok((file.into(), false)),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e).context("open", path),
        }
        match rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR)
        {
            Ok(file) => return Ok((file.into(), true)),
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e).context("create", path),
        }
    }
}

/// Where what a repair takes out of a session goes.
pub(crate) fn quarantine_path(session: &Path) -> PathBuf {
    let mut path = session.as_os_str().to_owned();
    path.push(".damaged");
    path.into()
}
