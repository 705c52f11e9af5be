//! Reading a session file without a lock.
//!
//! A reader without the data lock may see an unfinished write: a torn tail that is whole a moment
//! later.

mod tail;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::origin::{self, Part};
use super::{Position, Section};
use crate::error::{ReadError, RecordError};
use crate::place::Place;
use crate::sys::{self, Access, Pinned};
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
    file: Arc<Pinned>,
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

    /// The session file of a section, as it is now.
    pub(super) fn of_section(section: &Section) -> Self {
        Self {
            file: Arc::clone(section.pinned()),
            path: section.place().session().to_owned(),
            max_line: MAX_LINE,
            start: 0,
            end: Some(section.len()),
        }
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
        let opened = file.metadata().and_then(|facts| Ok((facts.file_type(), Pinned::new(file)?)));
        match opened {
            Ok((kind, (file, _))) if kind.is_file() => {
                let file = Arc::new(file);
                Ok(Self { file, path, max_line: MAX_LINE, start: 0, end: None })
            }
            Ok((kind, _)) => Err(ReadError::NotAFile { path, kind: sys::kind_of(kind) }),
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
        let len = self.file().metadata()?.len();
        let mut at = self.end.map_or(len, |end| end.min(len));
        let mut block = vec![0; BLOCK as usize];
        while at > self.start {
            let size = BLOCK.min(at - self.start);
            let part = &mut block[..size as usize];
            read_exact(self.file.file(), part, at - size)?;
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
        origin::between(self.file.file(), old, self.path.file_name())
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.file.file()
    }

    pub(crate) fn into_pinned(self) -> Arc<Pinned> {
        self.file
    }

    /// The same file, read up to the end of the last line that is whole now.
    pub(crate) fn bounded(self) -> Result<Self, ReadError> {
        let end = self.whole_lines_to().map_err(|e| self.error(e))?;
        Ok(self.until(end))
    }

    /// Where this ends, for a later [`rewrite_from`](crate::Turn::rewrite_from). The file before it
    /// is read once, to be compared then.
    ///
    /// A transcript of [`Turn::read`](crate::Turn::read) or [`Session::read`](crate::Session::read)
    /// ends where it was opened. Any other without an end ([`until`](Self::until)) is taken to end
    /// behind the last line that is whole now: note its position before reading it. An end in the
    /// midst of a line is taken back to where that line begins.
    ///
    /// **Blocking**: reads the file, about 2 GB in a second. If that fails, the rewrite does.
    pub fn position(&self) -> Position {
        let end = match self.end {
            Some(end) if !self.is_inside_line(end).unwrap_or(false) => Ok(end),
            _ => self.whole_lines_to(),
        };
        match end {
            Ok(end) => Position::at(Arc::clone(&self.file), end, &self.path),
            Err(_) => Position::unreadable(Arc::clone(&self.file), &self.path),
        }
    }

    /// Whether a line goes on at `at`. A torn tail that was sealed there does not.
    fn is_inside_line(&self, at: u64) -> io::Result<bool> {
        Ok(at < self.file().metadata()?.len() && is_inside_line(self.file(), at)?)
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
        self.lines().map(|item| Self::record(item?))
    }

    /// [`records`](Self::records), each with its byte range in the file.
    pub fn records_at<T: DeserializeOwned>(
        &self,
    ) -> impl Iterator<Item = Result<(Range<u64>, T), RecordError>> + use<'_, T> {
        self.lines().map(|item| {
            let item = item?;
            let range = match &item {
                Item::Line(line) => line.range.clone(),
                Item::Damage(damage) => damage.range.clone(),
            };
            Self::record(item).map(|record| (range, record))
        })
    }

    /// One item as a record.
    pub(super) fn record<T: DeserializeOwned>(item: Item<'_>) -> Result<T, RecordError> {
        match item {
            Item::Damage(damage) => Err(RecordError::Damage(damage)),
            Item::Line(Line { range, bytes: Some(bytes), .. }) => serde_json::from_slice(&bytes)
                .map_err(|source| RecordError::Mismatch { range, source }),
            Item::Line(line) => Err(RecordError::TooLong { range: line.range }),
        }
    }

    fn lines_of(
        &self,
        part: Range<u64>,
    ) -> impl Iterator<Item = Result<Item<'static>, ReadError>> + use<'_> {
        let lines = Lines::new(self.file.file(), part, self.max_line);
        lines.map(|item| item.map_err(|source| self.error(source)))
    }

    fn error(&self, source: io::Error) -> ReadError {
        ReadError::Read { path: self.path.clone(), source }
    }
}

/// Whether a line goes on at `at`, in a file that is longer than that.
pub(crate) fn is_inside_line(file: &File, at: u64) -> io::Result<bool> {
    let Some(before) = at.checked_sub(1) else { return Ok(false) };
    let mut around = [0; 2];
    sys::read_exact_at(file, &mut around, before)?;
    Ok(!around.contains(&b'\n'))
}

#[cfg(test)]
mod tests;
