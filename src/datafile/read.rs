//! Reading a session file without a lock.
//!
//! Whoever reads without the data lock may see a write that is not finished: a torn tail that is whole a moment later.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::place::Place;
use crate::sys::{self, Access};
use crate::transcript::damage::Damage;
use crate::transcript::json::is_space;
use crate::transcript::lines::Lines;
use crate::transcript::scan::{Item, Line, MAX_LINE};
use crate::transcript::source::read_exact;

/// How much is read at a time when looking back from the end.
const BLOCK: u64 = 64 * 1024;

/// How much damage [`Transcript::tail`] looks past, give or take a step of looking back.
pub const MAX_DAMAGE: usize = 10_000;

/// Why a session file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be opened.
    #[error("{}: cannot open it: {source}", path.display())]
    Open {
        /// The session file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a symbolic link, which could lead anywhere.
    #[error("{}: is a symbolic link; name the file that it points to", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// It is a directory, a pipe, a device or a socket.
    #[error("{}: is {kind}, not a regular file; name a .jsonl file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Reading failed on the way.
    #[error("{}: cannot read it: {source}", path.display())]
    Read {
        /// The session file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a record could not be handed out as the type that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Something is damaged here. The whole records in it follow.
    #[error("{0}")]
    Damage(Damage),
    /// The record is valid JSON, but not of this type (or nested more than 128 levels deep).
    #[error("bytes {}..{}: {source}", range.start, range.end)]
    Mismatch {
        /// Where the record is.
        range: Range<u64>,
        /// What serde said.
        source: serde_json::Error,
    },
    /// The record is longer than [`Transcript::max_line`].
    #[error("bytes {}..{}: longer than the longest line that is handed out", range.start, range.end)]
    TooLong {
        /// Where the record is.
        range: Range<u64>,
    },
    /// Reading failed; nothing follows.
    #[error(transparent)]
    Read(#[from] ReadError),
}

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
    /// What is before this is not read, …
    start: u64,
    /// … nor what is behind this.
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

    fn opened(file: io::Result<File>, path: &Path) -> Result<Self, ReadError> {
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
            Err(source) => Err(ReadError::Open { path, source }),
        }
    }

    /// Reads a session file that is open already; its cursor is neither used nor moved.
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

    /// Hands out the bytes of lines up to this length (64 MiB if not said). See [`Scanner::max_line`].
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes;
        self
    }

    /// Reads nothing before this offset, where a line must begin.
    ///
    /// Unless it is 0, lines have no numbers.
    #[must_use]
    pub fn since(mut self, start: u64) -> Self {
        self.start = start;
        self
    }

    /// Reads nothing behind this offset.
    #[must_use]
    pub fn until(mut self, end: u64) -> Self {
        self.end = Some(end);
        self
    }

    /// Up to where the file consists of whole lines: whatever is behind may be a write that is not finished.
    ///
    /// # Errors
    ///
    /// Those of reading.
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

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// The lines in order. Each [`Damage`] is followed by the whole records that it saves, as lines.
    ///
    /// Blocks while the file is read. After an error it ends.
    pub fn lines(&self) -> impl Iterator<Item = Result<Item<'static>, ReadError>> + use<'_> {
        self.lines_of(self.start..self.end.unwrap_or(u64::MAX))
    }

    /// The records in order, read as `T` by serde. What is damaged, or no `T`, is an error in its place; the iteration goes on.
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

    /// The last `n` records, in order, and the damage behind the first of them; everything if there are fewer records.
    /// Reads from the end, as far as is needed, but not past more than [`MAX_DAMAGE`] damaged lines: then it gives fewer
    /// records.
    ///
    /// Blocks while that part is read, and keeps it in memory. Lines have no numbers.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn tail(&self, n: usize) -> Result<Vec<Item<'static>>, ReadError> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let end = self
            .file
            .metadata()
            .map_err(|e| self.error(e))?
            .len()
            .min(self.end.unwrap_or(u64::MAX));
        let mut lines = n;
        loop {
            let start = self.start_of_last(lines, end).map_err(|e| self.error(e))?;
            let tail = self.last_records(n, start..end)?;
            let records = tail.iter().filter(|item| is_record(item)).count();
            if records == n || start == self.start || tail.len() - records > MAX_DAMAGE {
                return Ok(tail);
            }
            // Lines of which nothing can be saved: look further back, in growing steps.
            lines = lines.saturating_mul(2).saturating_add(n - records);
        }
    }

    /// The items of `part` from its `n`th record from the end on; all of them if there are fewer records.
    fn last_records(&self, n: usize, part: Range<u64>) -> Result<Vec<Item<'static>>, ReadError> {
        let mut tail = VecDeque::new();
        let mut records = 0;
        for item in self.lines_of(part) {
            let item = item?;
            records += usize::from(is_record(&item));
            tail.push_back(item);
            while records >= n && !tail.front().is_none_or(is_record) || records > n {
                records -= usize::from(tail.pop_front().as_ref().is_some_and(is_record));
            }
        }
        Ok(tail.into())
    }

    /// Where the last `lines` lines that are not blank begin.
    fn start_of_last(&self, lines: usize, end: u64) -> io::Result<u64> {
        let mut block = vec![0; BLOCK.min(end) as usize];
        let (mut at, mut inked, mut seen) = (end, false, 0);
        while at > self.start {
            let size = BLOCK.min(at - self.start) as usize;
            at -= size as u64;
            read_exact(&self.file, &mut block[..size], at)?;
            let mut rest = &block[..size];
            while let Some(newline) = memchr::memrchr(b'\n', rest) {
                inked |= has_ink(&rest[newline + 1..]);
                seen += usize::from(inked);
                if seen == lines {
                    return Ok(at + newline as u64 + 1);
                }
                inked = false;
                rest = &rest[..newline];
            }
            inked |= has_ink(rest);
        }
        Ok(self.start)
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

fn is_record(item: &Item<'_>) -> bool {
    matches!(item, Item::Line(_))
}

fn has_ink(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| !is_space(*byte))
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Open { path, source } if source.kind() == io::ErrorKind::NotFound => {
                Self::NoSession { path }
            }
            ReadError::Open { path, source } => Self::Io { action: "open", path, source },
            ReadError::Read { path, source } => Self::Io { action: "read", path, source },
            ReadError::Symlink { path } => {
                let reason = "it is a symbolic link; name the file itself";
                Self::NotASession { path, reason }
            }
            ReadError::NotAFile { path, kind } => Self::NotASession { path, reason: kind },
        }
    }
}

#[cfg(test)]
mod tests;
