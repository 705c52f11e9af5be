//! The append, in a section: all of it or nothing (I9).

use std::io::{self, Seek, Write};

use serde::Serialize;

use super::{Batch, Section};
use crate::error::{Error, NotTakenBack, Result};
use crate::rules::Durability;
use crate::sys::{self, FileId, limit};

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Appended {
    /// Where the first of the lines begins, in bytes.
    pub offset: u64,
    /// How many bytes the lines take, with their newlines.
    pub bytes: u64,
    /// How many bytes others have written (posts) since this turn last looked at the file.
    pub intervening: u64,
    /// Whether a torn line that somebody left was sealed with a newline first.
    pub sealed: bool,
}

/// The writer of a session file, for one append. It exists only in a section.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    section: &'a mut Section,
    durability: Durability,
    /// How far the caller has looked at the file.
    seen: u64,
    /// The lock file under which, or beside whose holder, it writes.
    lock: FileId,
}

impl Section {
    /// A writer for one append. `seen` is how far the caller has looked at the file; `lock` is the
    /// lock file under which, or beside whose holder, it writes.
    pub(crate) fn writer(&mut self, durability: Durability, seen: u64, lock: FileId) -> Writer<'_> {
        Writer { section: self, durability, seen, lock }
    }
}

impl Writer<'_> {
    /// Appends whole lines: all of them or nothing (I9). Seals a torn tail first.
    pub(crate) fn append(self, batch: &Batch) -> Result<Appended, Failed> {
        let measured = self.section.len();
        let sealed = self.has_torn_tail().map_err(|source| self.failed("read", source))?;
        let bytes = if sealed { batch.with_seal() } else { batch.bytes() };
        if let Err((wrote, source)) = self.write(bytes) {
            let source = self.cut_back(measured, wrote, source);
            return Err(self.failed("append to", source).into());
        }
        if self.durability == Durability::Sync
            && let Err(source) = self.section.session().sync(self.section.place())
        {
            let source = self.cut_back(measured, bytes.len(), source);
            return Err(Failed::Sync(self.failed("sync", source)));
        }
        let end = self.end_of_write(measured + bytes.len() as u64, bytes.is_empty());
        let start = end.saturating_sub(bytes.len() as u64);
        self.section.ends_at(end);
        if start < measured {
            // A program without the data lock has cut the file since this section measured it.
            return Err(self.overtaken().into());
        }
        self.confirm()?;
        Ok(Appended {
            offset: start + u64::from(sealed),
            bytes: batch.bytes().len() as u64,
            intervening: start.saturating_sub(self.seen),
            sealed,
        })
    }

    /// Whether the file ends inside a line.
    fn has_torn_tail(&self) -> io::Result<bool> {
        let len = self.section.len();
        if len == 0 || len == self.section.session().sealed_to() {
            return Ok(false);
        }
        let mut last = [0];
        sys::read_exact_at(self.section.file(), &mut last, len - 1)?;
        Ok(last[0] != b'\n')
    }

    /// Writes it all, with one call unless that fails. An error says how many bytes were written
    /// before it.
    fn write(&self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let end = self.section.len() + bytes.len() as u64;
        limit::ensure_within(end).map_err(|error| (0, error))?;
        let mut wrote = 0;
        while wrote < bytes.len() {
            match self.section.file().write(&bytes[wrote..]) {
                Ok(0) => return Err((wrote, io::ErrorKind::WriteZero.into())),
                Ok(n) => wrote += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err((wrote, e)),
            }
        }
        Ok(())
    }

    /// Where the write ended: a program without the data lock may have written since the file was
    /// measured. After an empty write, the file ends where it was measured.
    fn end_of_write(&self, measured: u64, is_empty: bool) -> u64 {
        if is_empty {
            return measured;
        }
        self.section.file().stream_position().unwrap_or(measured)
    }

    /// Takes back a write that failed, if the file has exactly the length that this write gave it.
    /// The error says so if that is not possible.
    fn cut_back(&self, before: u64, wrote: usize, failed: io::Error) -> io::Error {
        let file = self.section.file();
        let is_ours = |stat: sys::Stat| stat.len == before + wrote as u64;
        // Btrfs does not even cut a file whose quota is used up. Then a torn tail stays, and the
        // next append seals it.
        let is_as_before =
            wrote == 0 || sys::stat(file).is_ok_and(is_ours) && file.set_len(before).is_ok();
        if is_as_before { failed } else { NotTakenBack::because(failed) }
    }

    /// Compares once more before the append is acknowledged (I9). Meanwhile a program without the
    /// data lock may have put its own lock file there and read the session before this line was in
    /// it, or it may have renamed a new file into place. It locks before it renames, so the lock
    /// path is compared first.
    fn confirm(&self) -> Result<()> {
        let place = self.section.place();
        // A look that fails does not undo the write.
        let is_other = |named: Result<Option<FileId>>, id| named.is_ok_and(|named| named != id);
        if is_other(place.lock_id(), Some(self.lock))
            || is_other(place.session_id(), self.section.id())
        {
            return Err(self.overtaken());
        }
        Ok(())
    }

    fn overtaken(&self) -> Error {
        Error::Overtaken { session: self.section.place().session().to_owned() }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { action, path: self.section.place().session().to_owned(), source }
    }
}

/// Why an append failed. After a failed sync it is not known what is on disk.
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
    use crate::datafile::SOON;
    use crate::place::Place;

    fn append(
        section: &mut Section,
        lines: &[u32],
        seen: u64,
        lock: FileId,
    ) -> crate::Result<Appended> {
        let batch = Batch::of(lines).unwrap();
        Ok(section.writer(Durability::Buffered, seen, lock).append(&batch)?)
    }

    #[test]
    fn a_line_is_not_acknowledged_where_the_file_was_cut_since_it_was_measured() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        std::fs::write(place.lock(), "{}").unwrap();
        std::fs::write(place.session(), "{}\n{}\n").unwrap();
        let lock = place.lock_id().unwrap().unwrap();
        let mut section = Section::lock_within(SOON, &place, false).unwrap().unwrap();
        // After an append of its own, this process knows how the file ends without reading it.
        append(&mut section, &[1], 6, lock).unwrap();
        std::fs::write(place.session(), "{}\n").unwrap();
        let overtaken = append(&mut section, &[2], 8, lock);
        assert!(matches!(overtaken, Err(Error::Overtaken { .. })), "{overtaken:?}");
    }

    #[test]
    fn an_append_tells_where_its_lines_are_whatever_was_written_since_the_file_was_measured() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        std::fs::write(place.lock(), "{}").unwrap();
        let lock = place.lock_id().unwrap().unwrap();
        let mut section = Section::lock_within(SOON, &place, true).unwrap().unwrap();
        let mut foreign = std::fs::OpenOptions::new().append(true).open(place.session()).unwrap();
        foreign.write_all(b"{\"foreign\":1}\n").unwrap();
        let appended = append(&mut section, [1].as_slice(), 0, lock).unwrap();
        assert_eq!((appended.offset, appended.intervening, section.len()), (14, 14, 16));
        drop(section);
        let mut section = Section::lock_within(SOON, &place, false).unwrap().unwrap();
        let empty = append(&mut section, &[], 16, lock).unwrap();
        assert_eq!((empty.offset, empty.bytes, empty.intervening), (16, 0, 0));
    }
}
