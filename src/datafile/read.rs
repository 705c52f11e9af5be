//! Reading a session file without a lock.
//!
//! A reader without the data lock may see an unfinished write: a torn tail that is whole a moment
//! later.

mod tail;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::origin::{self, Part};
use crate::error::{ReadError, RecordError};
use crate::place::Place;
use crate::sys::{self, Access};
use crate::transcript::lines::Lines;
use crate::transcript::scan::{Item, Line, MAX_LINE};
use crate::transcript::source::read_exact;

/// How many bytes are read at a time when looking back from the end.
const BLOCK: u64 = 64 * 1024;

/// A session file, open for reading.
///
/// ```no_run
/// use turnlock::{Item, Transcript};
///
/// for item in Transcript::open("agents/main/sessions/4f2c.jsonl")?.lines() {
///     match item? {
///         Item::Line(line) => println!("{} bytes", line.range.end - line.range.start),
///         Item::Damage(damage) => eprintln!("{damage}"),
///     }
/// }
/// # Ok::<(), turnlock::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Transcript {
    file: File,
    path: PathBuf,
    max_line: usize,
    /// Nothing before this offset is read.
    start: u64,
    /// Nothing from this offset on is read.
    end: Option<u64>,
}

impl Transcript {
    /// Opens a session file. Takes no lock, and never blocks, whatever the path names.
    ///
    /// # Errors
    ///
    /// If it is not a regular file (symbolic links are not followed) or cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        Self::opened(sys::open_to_read(path), path)
    }

    /// Opens the session file of a place. Takes no lock.
    pub(crate) fn open_at(place: &Place) -> Result<Self, ReadError> {
        let file = place.dir().open_file(place.session_name(), Access::Read);
        Self::opened(file, place.session())
    }

    pub(super) fn opened(file: io::Result<File>, path: &Path) -> Result<Self, ReadError> {
        let path = path.to_owned();
        match file {
            Ok(file) => Self::from_file(file, path),
            Err(e) if sys::is_link_refusal(&e) && path.is_symlink() => {
                Err(ReadError::Symlink { path })
            }
            Err(e) if sys::is_pipe_refusal(&e) => {
                let kind = "a socket or a device without a driver";
                Err(ReadError::NotAFile { path, kind })
            }
            Err(e) if sys::is_mount_refusal(&e) => Err(ReadError::Mounted { path }),
            Err(source) => Err(ReadError::Open { path, source }),
        }
    }

    /// Reads a session file that is already open. Its cursor is neither used nor moved.
    ///
    /// # Errors
    ///
    /// If it is not a regular file.
    pub fn from_file(file: File, path: impl Into<PathBuf>) -> Result<Self, ReadError> {
        let path = path.into();
        match file.metadata() {
            Ok(facts) if facts.is_file() => {
                Ok(Self { file, path, max_line: MAX_LINE, start: 0, end: None })
            }
            Ok(facts) => Err(ReadError::NotAFile { path, kind: sys::kind_of(facts.file_type()) }),
            Err(source) => Err(ReadError::Open { path, source }),
        }
    }

    /// Sets the longest line whose bytes are handed out (64 MiB unless set). Longer lines are
    /// checked too, and come without their bytes.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes;
        self
    }

    /// Reads nothing before this offset, at which a line must begin.
    ///
    /// Lines have no numbers then, unless the offset is 0.
    #[must_use]
    pub fn since(mut self, start: u64) -> Self {
        self.start = start;
        self
    }

    /// Reads nothing from this offset on.
    #[must_use]
    pub fn until(mut self, end: u64) -> Self {
        self.end = Some(end);
        self
    }

    /// The offset up to which the file consists of whole lines. What follows may be an unfinished
    /// write.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn whole_lines_to(&self) -> io::Result<u64> {
        let len = self.file.metadata()?.len();
        let mut at = self.end.map_or(len, |end| end.min(len));
        let mut block = vec![0; BLOCK as usize];
        while at > self.start {
            let size = BLOCK.min(at - self.start);
            let part = &mut block[..size as usize];
            read_exact(&self.file, part, at - size)?;
            if let Some(newline) = memchr::memrchr(b'\n', part) {
                return Ok(at - size + newline as u64 + 1);
            }
            at -= size;
        }
        Ok(self.start)
    }

    /// Where the parts of this file come from, in order, if it has taken the place of `old`, at
    /// once or through other files. What is behind the last part was appended since.
    ///
    /// The rewrite, repair or restore that made the file has noted this on it. `None` if there is
    /// no such note: another program has made the file, too many files were between the two, or the
    /// filesystem has no extended attributes.
    pub fn parts_since(&self, old: &File) -> Option<Vec<Part>> {
        origin::between(&self.file, old)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// The lines in order. Each [`Damage`](crate::Damage) is followed by the whole records that
    /// were found in it, as lines.
    ///
    /// Blocks while the file is read. After an error the iteration ends.
    pub fn lines(&self) -> impl Iterator<Item = Result<Item<'static>, ReadError>> + use<'_> {
        self.lines_of(self.start..self.end.unwrap_or(u64::MAX))
    }

    /// The records in order, each deserialized as `T`. What is damaged, or not a `T`, is an error
    /// in its place, and the iteration continues.
    ///
    /// Blocks while the file is read.
    pub fn records<T: DeserializeOwned>(
        &self,
    ) -> impl Iterator<Item = Result<T, RecordError>> + use<'_, T> {
        self.lines().map(|item| match item? {
            Item::Damage(damage) => Err(RecordError::Damage(damage)),
            Item::Line(Line { range, bytes: Some(bytes), .. }) => serde_json::from_slice(&bytes)
                .map_err(|source| RecordError::Mismatch { range, source }),
            Item::Line(line) => Err(RecordError::TooLong { range: line.range }),
        })
    }

    fn lines_of(
        &self,
        part: Range<u64>,
    ) -> impl Iterator<Item = Result<Item<'static>, ReadError>> + use<'_> {
        let lines = Lines::new(&self.file, part, self.max_line);
        lines.map(|item| item.map_err(|source| self.error(source)))
    }

    fn error(&self, source: io::Error) -> ReadError {
        ReadError::Read { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests;
