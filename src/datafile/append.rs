//! The append, in a section: all of it or nothing (I9).

use std::io::{self, Seek, Write};

use serde::Serialize;

use super::{Batch, Section};
use crate::error::{Error, NotTakenBack, Result};
use crate::faults::{self, Step};
use crate::rules::Durability;
use crate::sys::{self, Found, Pinned, filesystem, flock, limit};

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Appended {
    /// Where the first of the lines begins, in bytes.
    #[serde(rename = "offsetBytes")]
    pub offset: u64,
    /// How many bytes the lines take, with their newlines.
    #[serde(rename = "lengthBytes")]
    pub bytes: u64,
    /// How many bytes others have written (posts) since this turn last looked at the file.
    #[serde(rename = "interveningBytes")]
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
    lock: &'a Pinned,
}

impl Section {
    /// A writer for one append. `seen` is how far the caller has looked at the file; `lock` is the
    /// lock file under which, or beside whose holder, it writes.
    pub(crate) fn writer<'a>(
        &'a mut self,
        durability: Durability,
        seen: u64,
        lock: &'a Pinned,
    ) -> Writer<'a> {
        Writer { section: self, durability, seen, lock }
    }
}

impl Writer<'_> {
    /// Appends whole lines: all of them or nothing (I9). Seals a torn tail first.
    pub(crate) fn append(mut self, batch: &Batch) -> Result<Appended, Failed> {
        let torn = self.has_torn_tail()?;
        let written = self.write_lines(batch, torn)?;
        // What a client has not sent to the server yet is gone if its lease runs out (I20).
        let is_served = filesystem::is_served(self.section.place().dir());
        let durability = batch.own_durability().unwrap_or(self.durability);
        if (durability == Durability::Sync || is_served)
            && let Err(source) = self.section.sync()
        {
            let source = self.cut_back(&written, source);
            return Err(Failed::Sync(self.failed("sync", source)));
        }
        self.section.ends_at(written.end);
        self.confirm()?;
        Ok(Appended {
            offset: written.start + u64::from(written.sealed),
            bytes: batch.bytes().len() as u64,
            intervening: written.start.saturating_sub(self.seen),
            sealed: written.sealed,
        })
    }

    /// Whether the file ends inside a line.
    fn has_torn_tail(&self) -> Result<bool> {
        let len = self.section.len();
        if len == self.section.session().sealed_to() {
            return Ok(false);
        }
        match self.is_line_start(len) {
            Ok(starts) => Ok(!starts),
            // A program without the data lock has cut the file since this section measured it.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.overtaken()),
            Err(source) => Err(self.failed("read", source)),
        }
    }

    /// Whether a line begins at this offset.
    fn is_line_start(&self, offset: u64) -> io::Result<bool> {
        let Some(before) = offset.checked_sub(1) else { return Ok(true) };
        let mut last = [0];
        sys::read_exact_at(self.section.file(), &mut last, before)?;
        Ok(last[0] == b'\n')
    }

    /// Writes the lines as lines of their own.
    ///
    /// A program without the data lock may have written the beginning of a line since the end of
    /// the file was looked at. The first line is glued to it then. It is taken back, and written
    /// again behind a newline.
    fn write_lines(&mut self, batch: &Batch, torn: bool) -> Result<Written> {
        let written = self.write(batch, torn)?;
        let is_glued = |written: &Written| {
            // Nobody else wrote, or the newline comes first.
            let is_apart = written.start == self.section.len() || written.sealed;
            // A look that fails does not undo the write.
            !is_apart && self.is_line_start(written.start).is_ok_and(|starts| !starts)
        };
        if !is_glued(&written) {
            return Ok(written);
        }
        if !self.take_back(&written) {
            self.section.ends_at(written.end);
            return Err(self.overtaken());
        }
        self.section.measured(written.start);
        self.write(batch, true)
    }

    /// Writes all lines, with one call unless that fails, after a newline if the file is torn. What
    /// cannot be written completely is taken back.
    fn write(&mut self, batch: &Batch, torn: bool) -> Result<Written> {
        let bytes = batch.written(torn);
        let measured = self.section.len();
        let mut written = Written { start: measured, end: measured, is_whole: true, sealed: torn };
        let end = measured + bytes.len() as u64;
        let done = faults::at(Step::Write, self.section.place().session())
            .and_then(|()| limit::within(end, || self.write_all(bytes, &mut written)));
        if let Err(source) = done {
            return Err(self.failed("append to", self.cut_back(&written, source)));
        }
        if written.start < measured || !written.is_whole {
            // A program without the data lock has cut the file since this section measured it, or
            // has written into the midst of the lines.
            self.section.ends_at(written.end);
            return Err(self.overtaken());
        }
        Ok(written)
    }

    /// Writes all `bytes`, and notes where they are: a program without the data lock may have
    /// written since the file was measured.
    fn write_all(&self, bytes: &[u8], written: &mut Written) -> io::Result<()> {
        let mut file = self.section.file();
        let mut wrote = 0;
        while wrote < bytes.len() {
            let count = match file.write(&bytes[wrote..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let end = file.stream_position().unwrap_or(written.end + count as u64);
            let start = end.saturating_sub(count as u64);
            if wrote == 0 {
                written.start = start;
            } else {
                written.is_whole &= start == written.end;
            }
            written.end = end;
            wrote += count;
        }
        Ok(())
    }

    /// Takes back a write that failed. The error says so if that is not possible.
    fn cut_back(&self, written: &Written, failed: io::Error) -> io::Error {
        // Btrfs does not even cut a file whose quota is used up. Then a torn tail stays, and the
        // next append seals it.
        if self.take_back(written) { failed } else { NotTakenBack::because(failed) }
    }

    /// Cuts off what was written, if the file has exactly the length that this write gave it.
    fn take_back(&self, written: &Written) -> bool {
        let file = self.section.file();
        if filesystem::is_served(self.section.place().dir())
            && !matches!(flock::try_lock(file), Ok(true))
        {
            // The data lock is lost, and the lines of others may be behind these (I20).
            return written.start == written.end;
        }
        let is_last = |stat: sys::Stat| written.is_whole && stat.len == written.end;
        written.start == written.end
            || sys::stat(file).is_ok_and(is_last) && file.set_len(written.start).is_ok()
    }

    /// Compares once more before the append is acknowledged (I9). Meanwhile a program without the
    /// data lock may have put its own lock file there and read the session before this line was in
    /// it, or it may have renamed a new file into place. It locks before it renames, so the lock
    /// path is compared first.
    fn confirm(&self) -> Result<()> {
        let place = self.section.place();
        // A look that fails does not undo the write.
        let is_other = |found: Result<Found<()>>| found.is_ok_and(|found| !found.is_this());
        place.ask_server();
        if is_other(place.compare_lock_as_known(self.lock))
            || is_other(place.compare_session_as_known(self.section.pinned()))
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

/// Where lines were written.
struct Written {
    start: u64,
    end: u64,
    /// Whether nothing of others lies between.
    is_whole: bool,
    /// Whether the first byte is a newline that seals a torn tail.
    sealed: bool,
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
        lock: &Pinned,
    ) -> crate::Result<Appended> {
        let batch = Batch::of(lines).unwrap();
        Ok(section.writer(Durability::Buffered, seen, lock).append(&batch)?)
    }

    /// A directory with a lock file in it. The directory goes with the first value.
    fn room() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        std::fs::write(place.lock(), "{}").unwrap();
        (dir, place)
    }

    fn pinned(path: &std::path::Path) -> Pinned {
        Pinned::new(std::fs::File::open(path).unwrap()).unwrap().0
    }

    #[test]
    fn a_line_is_not_acknowledged_where_the_file_was_cut_since_it_was_measured() {
        let (_dir, place) = room();
        std::fs::write(place.session(), "{}\n{}\n").unwrap();
        let lock = pinned(place.lock());
        let mut section = Section::lock_within(SOON, &place, false).unwrap().unwrap();
        // After an append of its own, this process knows how the file ends without reading it.
        append(&mut section, &[1], 6, &lock).unwrap();
        std::fs::write(place.session(), "{}\n").unwrap();
        let overtaken = append(&mut section, &[2], 8, &lock);
        assert!(matches!(overtaken, Err(Error::Overtaken { .. })), "{overtaken:?}");
    }

    #[test]
    fn nothing_is_written_where_the_file_was_cut_before_its_tail_was_looked_at() {
        let (_dir, place) = room();
        std::fs::write(place.session(), "{}\n{}\n").unwrap();
        let lock = pinned(place.lock());
        let mut section = Section::lock_within(SOON, &place, false).unwrap().unwrap();
        std::fs::write(place.session(), "{}\n").unwrap();
        let overtaken = append(&mut section, &[1], 6, &lock);
        assert!(matches!(overtaken, Err(Error::Overtaken { .. })), "{overtaken:?}");
        assert_eq!(std::fs::read_to_string(place.session()).unwrap(), "{}\n");
    }

    #[test]
    fn an_append_tells_where_its_lines_are_whatever_was_written_since_the_file_was_measured() {
        let (_dir, place) = room();
        let lock = pinned(place.lock());
        let mut section = Section::lock_within(SOON, &place, true).unwrap().unwrap();
        let mut foreign = std::fs::OpenOptions::new().append(true).open(place.session()).unwrap();
        foreign.write_all(b"{\"foreign\":1}\n").unwrap();
        let appended = append(&mut section, [1].as_slice(), 0, &lock).unwrap();
        assert_eq!((appended.offset, appended.intervening, section.len()), (14, 14, 16));
        drop(section);
        let mut section = Section::lock_within(SOON, &place, false).unwrap().unwrap();
        let empty = append(&mut section, &[], 16, &lock).unwrap();
        assert_eq!((empty.offset, empty.bytes, empty.intervening), (16, 0, 0));
    }
}
