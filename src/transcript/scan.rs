//! The scanner: reads a session file line by line and reports damage.
//!
//! A line is whole if it is one JSON value in UTF-8, with optional whitespace around it. A carriage
//! return before the newline is whitespace. Blank lines are skipped. Everything else is [`Damage`].
//!
//! The chunk size, the longest line that is returned ([`Scanner::max_line`]) and [`MAX_SAVED`]
//! bound the memory, whatever the size of the file and its lines. The time is linear in the size of
//! the file, also for hostile files.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use super::damage::{Damage, DamageKind};
use super::dissect::Dissection;
use super::json::Validator;
use super::source::{ReadAt, hole_behind, read_some};
use super::split;
use super::typed::is_typed;
use super::utf8::Utf8;

/// The most saved records that one [`Damage`] lists.
pub const MAX_SAVED: usize = 1024;

const CHUNK: usize = 256 * 1024;
pub(crate) const MAX_LINE: usize = 64 * 1024 * 1024;

/// A line or a damage in a session file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole line.
    Line(Line<'a>),
    /// A damaged line, or a part of one.
    Damage(Damage),
}

/// A whole line, or a whole record of a damaged line: a JSON value in UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line<'a> {
    /// The byte range in the file. The newline is not included.
    pub range: Range<u64>,
    /// The line number, counted from 1. `None` if the file was not read from its beginning.
    pub number: Option<u64>,
    /// The bytes. `None` if the line is longer than the limit of the reader (64 MiB unless set).
    pub bytes: Option<Cow<'a, [u8]>>,
}

impl Line<'_> {
    pub(crate) fn of(
        range: Range<u64>,
        number: Option<u64>,
        bytes: Option<Vec<u8>>,
    ) -> Line<'static> {
        Line { range, number, bytes: bytes.map(Cow::Owned) }
    }

    /// Converts it into a line that owns its bytes.
    pub fn into_owned(self) -> Line<'static> {
        Line {
            range: self.range,
            number: self.number,
            bytes: self.bytes.map(|bytes| Cow::Owned(bytes.into_owned())),
        }
    }
}

/// Reads a source once, from beginning to end, and returns its lines and its damage.
pub struct Scanner<S> {
    source: S,
    chunk: usize,
    max_line: usize,
    end: u64,
    /// Bytes that were read. Those before `cursor` have been judged.
    buffer: Vec<u8>,
    cursor: usize,
    filled: usize,
    /// The offset of `buffer` in the file.
    start: u64,
    /// The number of the current line. `None` if it is not known.
    lines: Option<u64>,
    validator: Validator,
    damaged: Option<Dissection>,
    /// Whether every record of the file has a `type`, once that was asked.
    typed: Option<bool>,
    /// Whether the last line may be the first of a record of several lines.
    splits: bool,
    /// No line before this offset is.
    splits_from: u64,
}

/// The next line as judged. A `Range<u64>` refers to the file, a `Range<usize>` to the buffer.
enum Found {
    End,
    Blank,
    Whole(Range<u64>, Option<Range<usize>>),
    /// A whole value without a newline.
    Unterminated(Range<u64>),
    /// A damaged line, and whether a newline follows.
    Damaged(Range<u64>, bool),
    /// The same for a line that is nested too deeply to be judged.
    TooDeep(Range<u64>, bool),
}

impl<S: ReadAt> Scanner<S> {
    /// A scanner at the beginning of `source`.
    pub fn new(source: S) -> Self {
        Self {
            source,
            chunk: CHUNK,
            max_line: MAX_LINE,
            end: u64::MAX,
            buffer: Vec::new(),
            cursor: 0,
            filled: 0,
            start: 0,
            lines: Some(0),
            validator: Validator::new(),
            damaged: None,
            typed: None,
            splits: false,
            splits_from: 0,
        }
    }

    /// Returns the bytes of lines up to this length, 64 MiB unless set. Longer lines are checked as
    /// well, but only their range is returned. With 0, the memory needed is a few chunks.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes;
        self
    }

    /// Reads this many bytes at a time, 256 KiB unless set. The result does not depend on it.
    #[cfg(any(test, feature = "testing"))]
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk = bytes.max(1);
        self
    }

    /// Reads only this byte range, which must begin at the start of a line. Its end counts as the
    /// end of the file. Lines have numbers only if it begins at 0.
    pub fn part(mut self, part: Range<u64>) -> Self {
        self.start = part.start;
        self.end = part.end;
        self.lines = (part.start == 0).then_some(0);
        self
    }

    /// Returns the next line or damage, in the order of the file. `None` at the end.
    ///
    /// Blocks while the file is read.
    ///
    /// # Errors
    ///
    /// Only the errors of reading. Damage is an item, not an error.
    pub fn next_item(&mut self) -> io::Result<Option<Item<'_>>> {
        loop {
            if let Some(dissection) = &mut self.damaged {
                if let Some(damage) = dissection.next_damage(&self.source)? {
                    return Ok(Some(Item::Damage(damage)));
                }
                self.damaged = None;
            }
            match self.next_line()? {
                Found::End => return Ok(None),
                Found::Blank => {}
                Found::Whole(range, at) => {
                    return Ok(Some(Item::Line(Line {
                        range,
                        number: self.lines,
                        bytes: at.map(|at| Cow::Borrowed(&self.buffer[at])),
                    })));
                }
                Found::Unterminated(range) => {
                    return Ok(Some(Item::Damage(self.missing_newline(range))));
                }
                Found::TooDeep(range, terminated) => {
                    let damage = Damage::too_deep(range, self.lines, terminated);
                    return Ok(Some(Item::Damage(damage)));
                }
                Found::Damaged(range, terminated) => {
                    let number = self.lines;
                    if let Some(damage) = self.split_record(range.start)? {
                        return Ok(Some(Item::Damage(damage)));
                    }
                    let typed = self.typed()?;
                    let dissection = Dissection::new(range, terminated, number, self.chunk, typed);
                    self.damaged = Some(dissection);
                }
            }
        }
    }

    /// The record of several lines that begins with the last line, if that is so.
    fn split_record(&mut self, start: u64) -> io::Result<Option<Damage>> {
        if !self.splits || start < self.splits_from {
            return Ok(None);
        }
        match split::find(&self.source, start, self.end, self.chunk)? {
            split::Found::Nothing { until } => {
                self.splits_from = until;
                Ok(None)
            }
            split::Found::Record { end, terminated, newlines } => {
                let damage = Damage::split_record(start..end, self.lines, terminated);
                self.go_to(end + u64::from(terminated));
                self.lines = self.lines.map(|lines| lines + newlines);
                Ok(Some(damage))
            }
        }
    }

    /// Moves the cursor forward to this offset.
    fn go_to(&mut self, offset: u64) {
        let ahead = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        if ahead <= self.filled {
            self.cursor = ahead;
        } else {
            (self.start, self.cursor, self.filled) = (offset, 0, 0);
        }
    }

    fn typed(&mut self) -> io::Result<bool> {
        let typed = match self.typed {
            Some(typed) => typed,
            None => is_typed(&self.source)?,
        };
        Ok(*self.typed.insert(typed))
    }

    fn missing_newline(&self, range: Range<u64>) -> Damage {
        Damage {
            kind: DamageKind::MissingNewline,
            saved: vec![range.clone()],
            range,
            line: self.lines,
            terminated: false,
        }
    }

    fn next_line(&mut self) -> io::Result<Found> {
        let mut searched = 0;
        loop {
            let pending = &self.buffer[self.cursor..self.filled];
            if let Some(length) = memchr::memchr(b'\n', &pending[searched..]) {
                return Ok(self.complete(searched + length, true));
            }
            searched = pending.len();
            if searched >= self.chunk.max(self.max_line.saturating_add(1)) {
                return self.long_line();
            }
            if self.fill()? == 0 {
                return Ok(match searched {
                    0 => Found::End,
                    length => self.complete(length, false),
                });
            }
        }
    }

    /// Judges the line of `length` bytes at the cursor, and moves the cursor behind it.
    fn complete(&mut self, length: usize, terminated: bool) -> Found {
        let at = self.cursor..self.cursor + length;
        let line = &self.buffer[at.clone()];
        self.validator.reset();
        let fed = self.validator.feed(line);
        let fits = fed.is_ok();
        self.splits = goes_on(&self.validator, fed.err().map(|at| line[at]));
        let good = fits && self.validator.is_whole() && std::str::from_utf8(line).is_ok();
        let range = self.start + at.start as u64..self.start + at.end as u64;
        self.cursor = at.end + usize::from(terminated);
        let bytes = (length <= self.max_line).then_some(at);
        self.judge(range, bytes, fits, good, terminated)
    }

    fn judge(
        &mut self,
        range: Range<u64>,
        bytes: Option<Range<usize>>,
        fits: bool,
        good: bool,
        terminated: bool,
    ) -> Found {
        if let Some(lines) = &mut self.lines {
            *lines += 1;
        }
        match (good, terminated) {
            (true, true) => Found::Whole(range, bytes),
            (true, false) => Found::Unterminated(range),
            _ if fits && self.validator.is_blank() => Found::Blank,
            _ if self.validator.is_too_deep() => Found::TooDeep(range, terminated),
            _ => Found::Damaged(range, terminated),
        }
    }

    /// Judges the line at the cursor without keeping its bytes. Everything in the buffer is part of
    /// it.
    fn long_line(&mut self) -> io::Result<Found> {
        let first = self.start + self.cursor as u64;
        let mut utf8 = Utf8::default();
        let (mut fits, mut failed) = (true, None);
        self.validator.reset();
        let terminated = loop {
            let pending = &self.buffer[self.cursor..self.filled];
            let newline = memchr::memchr(b'\n', pending);
            let piece = &pending[..newline.unwrap_or(pending.len())];
            if fits {
                let fed = self.validator.feed(piece);
                failed = fed.err().map(|at| piece[at]);
                fits = failed.is_none() && utf8.feed(piece);
            }
            let hole = if fits || newline.is_some() {
                0
            } else {
                // Nothing in a hole ends the line.
                let at = self.start + self.filled as u64;
                hole_behind(piece, &self.source, at..self.end)
            };
            self.cursor += piece.len();
            if newline.is_some() {
                break true;
            }
            if hole > 0 {
                self.start += self.filled as u64 + hole;
                (self.cursor, self.filled) = (0, 0);
            }
            if self.fill()? == 0 {
                break false;
            }
        };
        self.splits = goes_on(&self.validator, failed);
        let range = first..self.start + self.cursor as u64;
        self.cursor += usize::from(terminated);
        let good = fits && utf8.is_whole() && self.validator.is_whole();
        Ok(self.judge(range, None, fits, good, terminated))
    }

    /// Moves the pending bytes to the front of the buffer and reads another chunk behind them.
    /// Returns the number of bytes that were read.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.cursor..self.filled, 0);
        self.start += self.cursor as u64;
        self.filled -= self.cursor;
        self.cursor = 0;
        let offset = self.start + self.filled as u64;
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = self.filled + self.chunk.min(left);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let read = read_some(&self.source, &mut self.buffer[self.filled..wanted], offset)?;
        self.filled += read;
        Ok(read)
    }
}

/// Whether an object was read up to a raw control character in a string of it, or up to the end of
/// the line in one. `failed` is the byte that could not follow.
fn goes_on(validator: &Validator, failed: Option<u8>) -> bool {
    failed.is_none_or(|byte| byte < 0x20 && byte != 0) && validator.in_text_of_object()
}

#[cfg(test)]
mod tests;
