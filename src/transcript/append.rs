//! The append, under the data lock: all of it or nothing (I9).

use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use super::limit::ensure_within;
use super::{Appended, DataLock, Durability, Lines, size};
use crate::error::{Context, Error, NotTakenBack, Result};
use crate::place::FileId;

impl DataLock {
    /// Appends whole lines: all of them or nothing (I9). `lines` begins with the newline that seals a torn tail where there is one.
    ///
    /// `seen` is how far the caller has looked at the file; `lock` the lock file under which, or beside whose holder, it is written.
    pub(crate) fn append(
        &mut self,
        lines: &Lines,
        durability: Durability,
        seen: u64,
        lock: FileId,
    ) -> Result<Appended, Failed> {
        let sealed = self.has_torn_tail().context("read", self.place.session())?;
        let bytes = if sealed { &lines.0[..] } else { &lines.0[1..] };
        let before = self.len;
        if let Err((wrote, source)) = self.write(bytes) {
            let source = self.cut_back(before, wrote, source);
            return Err(self.failed("append to", source).into());
        }
        if durability == Durability::Sync
            && let Some(session) = &self.session
            && let Err(source) = session.sync(&self.place)
        {
            let source = self.cut_back(before, bytes.len(), source);
            return Err(Failed::Sync(self.failed("sync", source)));
        }
        // The end that this write has found: a program without the data lock may have written since the file was measured.
        // (Nothing written, nothing found: an empty batch is where the file was measured to end.)
        let measured = before + bytes.len() as u64;
        let end = if bytes.is_empty() {
            measured
        } else {
            rustix::fs::tell(self.file()).unwrap_or(measured)
        };
        let before = end.saturating_sub(bytes.len() as u64);
        self.len = end;
        if let Some(session) = &mut self.session {
            session.sealed_to = self.len;
        }
        self.confirm(lock)?;
        Ok(Appended {
            offset: before + u64::from(sealed),
            bytes: lines.0.len() as u64 - 1,
            intervening: before.saturating_sub(seen),
            sealed,
        })
    }

    /// Whether the file ends inside a line.
    fn has_torn_tail(&self) -> io::Result<bool> {
        let known = self.session.as_ref().map_or(0, |session| session.sealed_to);
        if self.len == 0 || self.len == known {
            return Ok(false);
        }
        let mut last = [0];
        self.file().read_exact_at(&mut last, self.len - 1)?;
        Ok(last[0] != b'\n')
    }

    /// One call writes it all, unless it fails; then, how much of it went before, and why the rest did not.
    fn write(&self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        ensure_within(self.len + bytes.len() as u64).map_err(|error| (0, error))?;
        let mut wrote = 0;
        while wrote < bytes.len() {
            match self.file().write(&bytes[wrote..]) {
                Ok(0) => return Err((wrote, io::ErrorKind::WriteZero.into())),
                Ok(n) => wrote += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err((wrote, e)),
            }
        }
        Ok(())
    }

    /// Takes back a write that failed, if the file has exactly what this write gave it; says so if that cannot be.
    fn cut_back(&self, before: u64, wrote: usize, failed: io::Error) -> io::Error {
        let ours = |stat| size(&stat) == before + wrote as u64;
        // Btrfs does not even cut a file whose quota is used up. What stays then is a torn tail, and the next append seals it.
        let as_before = wrote == 0
            || rustix::fs::fstat(self.file()).is_ok_and(ours)
                && self.file().set_len(before).is_ok();
        if as_before { failed } else { NotTakenBack::because(failed) }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { action, path: self.place.session().to_owned(), source }
    }

    /// Once more before acknowledging (I9): a program without the data lock may have put its own lock file there meanwhile and read the
    /// session before this line was in it, or renamed a new file into place. In this order: a rename comes after a lock.
    fn confirm(&self, lock: FileId) -> Result<()> {
        for (path, id) in [(self.place.lock(), Some(lock)), (self.place.session(), self.id())] {
            // What was written is written: a look that fails does not make it undone.
            if FileId::named_by(path).is_ok_and(|named| named != id) {
                return Err(Error::Overtaken { session: self.place.session().to_owned() });
            }
        }
        Ok(())
    }
}

/// Why an append failed: after a failed sync it is not known what the disk holds.
pub(crate) enum Failed {
    Write(Error),
    Sync(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Write(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Write(error) | Failed::Sync(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;

    #[test]
    fn an_append_tells_where_its_lines_are_whatever_was_written_since_the_file_was_measured() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        std::fs::write(place.lock(), "{}").unwrap();
        let lock = FileId::named_by(place.lock()).unwrap().unwrap();
        let mut data = DataLock::try_now(&place, true).unwrap().unwrap();
        let mut foreign = std::fs::OpenOptions::new().append(true).open(place.session()).unwrap();
        foreign.write_all(b"{\"foreign\":1}\n").unwrap();
        let Ok(appended) = data.append(&Lines::of([1]).unwrap(), Durability::Buffered, 0, lock)
        else {
            panic!()
        };
        assert_eq!((appended.offset, appended.intervening, data.len()), (14, 14, 16));
        drop(data);
        let mut data = DataLock::try_now(&place, false).unwrap().unwrap();
        let Ok(empty) = data.append(&Lines::of([0; 0]).unwrap(), Durability::Buffered, 16, lock)
        else {
            panic!()
        };
        assert_eq!((empty.offset, empty.bytes, empty.intervening), (16, 0, 0));
    }
}
