//! What can be wrong with a line, and which records in it can be saved.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::split::Joiner;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DamageKind {
    /// The last line has no newline and is not a whole value: an interrupted write. A reader
    /// without the data lock can also see this for a moment while a writer is at work.
    TornTail,
    /// Whole records share a line with other bytes, such as a cut record before a whole one.
    Splice,
    /// A newline is missing between whole records, or after the last record of the file.
    MissingNewline,
    /// The line has NUL bytes and, apart from whole records and whitespace, nothing else. A crash
    /// leaves them when the file grew but its data did not reach the disk.
    NulRun,
    /// The line has no whole record and is not UTF-8.
    InvalidUtf8,
    /// The line has no whole record and is not a JSON value.
    NotJson,
    /// A whole record follows the byte order mark of UTF-8 (`EF BB BF`).
    ByteOrderMark,
    /// The line is a JSON value but for `NaN`, `Infinity` or `-Infinity`, which Python writes.
    #[serde(rename = "nan")]
    NotANumber,
    /// The line is a JSON value but for `undefined`.
    Undefined,
    /// A record with raw newlines, or other raw control characters, in its strings. It is over
    /// several lines, and a repair makes one of them. Lines in it that look like JSON are text.
    SplitRecord,
    /// The line, or what follows the listed records in it, is nested more deeply than
    /// a million levels. It is left alone: whether it is whole cannot be told.
    TooDeep,
}

impl DamageKind {
    /// Every kind, in the order in which reports list them.
    pub const ALL: [Self; 11] = [
        Self::TornTail,
        Self::Splice,
        Self::MissingNewline,
        Self::NulRun,
        Self::InvalidUtf8,
        Self::NotJson,
        Self::ByteOrderMark,
        Self::NotANumber,
        Self::Undefined,
        Self::SplitRecord,
        Self::TooDeep,
    ];

    /// The name that is used in JSON and in reports, such as `torn-tail`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TornTail => "torn-tail",
            Self::Splice => "splice",
            Self::MissingNewline => "missing-newline",
            Self::NulRun => "nul-run",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::NotJson => "not-json",
            Self::ByteOrderMark => "byte-order-mark",
            Self::NotANumber => "nan",
            Self::Undefined => "undefined",
            Self::SplitRecord => "split-record",
            Self::TooDeep => "too-deep",
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TornTail => "a torn tail",
            Self::Splice => "a cut record with whole ones glued to it",
            Self::MissingNewline => "a missing newline",
            Self::NulRun => "a run of NUL bytes",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::NotJson => "no JSON",
            Self::ByteOrderMark => "a byte order mark",
            Self::NotANumber => "NaN or Infinity, which Python writes and JSON does not have",
            Self::SplitRecord => "a record with raw newlines or control characters in a string",
            Self::Undefined => "a literal undefined, which JSON does not have",
            Self::TooDeep => "too many levels of nesting",
        })
    }
}

/// A damaged line, or a part of one (see [`Damage::saved`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Damage {
    /// The kind of damage.
    pub kind: DamageKind,
    /// The byte range of the line, or of the part, in the file. The newline is not included.
    #[serde(rename = "byteRange")]
    pub range: Range<u64>,
    /// The byte ranges of the whole records in it, in order. Each includes the whitespace after the
    /// record. A repair removes everything between them. The record of a
    /// [`SplitRecord`](DamageKind::SplitRecord) is there as it is in the file.
    ///
    /// At most 1024 records are listed. A line with more is reported in several consecutive parts,
    /// so that the memory needed for a hostile line is bounded.
    #[serde(rename = "savedByteRanges")]
    pub saved: Vec<Range<u64>>,
    /// The line number, counted from 1. `None` if the file was not read from its beginning.
    pub line: Option<u64>,
    /// Whether a newline follows `range`. None follows at the end of the file, or between two parts
    /// of one line.
    pub terminated: bool,
}

impl Damage {
    /// What is nested too deeply, and left alone.
    pub(super) fn too_deep(range: Range<u64>, line: Option<u64>, terminated: bool) -> Self {
        Self { kind: DamageKind::TooDeep, range, saved: Vec::new(), line, terminated }
    }

    /// A record of several lines.
    pub(super) fn split_record(range: Range<u64>, line: Option<u64>, terminated: bool) -> Self {
        let saved = vec![range.clone()];
        Self { kind: DamageKind::SplitRecord, range, saved, line, terminated }
    }

    /// A record of it as a line, made of its bytes in the file.
    pub(crate) fn line_of(&self, record: Vec<u8>) -> Vec<u8> {
        match self.kind {
            DamageKind::SplitRecord => Joiner::default().join(&record),
            _ => record,
        }
    }

    /// Whether a repair leaves it alone.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.kind == DamageKind::TooDeep
    }

    /// The byte ranges that a repair removes, in order and never empty. A line of which nothing can
    /// be saved is removed together with its newline.
    pub fn removed(&self) -> impl Iterator<Item = Range<u64>> {
        self.edits().map(|edit| edit.removed).filter(|range| !range.is_empty())
    }

    /// The number of bytes that a repair removes.
    pub fn removed_bytes(&self) -> u64 {
        self.removed().map(|range| range.end - range.start).sum()
    }

    /// The edits that turn the damaged bytes into whole lines.
    pub(super) fn edits(&self) -> impl Iterator<Item = Edit> {
        let is_joined = self.kind == DamageKind::SplitRecord && !self.saved.is_empty();
        let joined = is_joined.then(|| Edit {
            removed: self.range.clone(),
            newline: !self.terminated,
            joined: true,
        });
        let gaps = if self.is_left_alone() || is_joined { 0 } else { self.saved.len() + 1 };
        joined.into_iter().chain((0..gaps).filter_map(move |index| self.edit_before(index)))
    }

    /// The edit between the saved records `index - 1` and `index`. Index 0 is the edit before the
    /// first record, and `saved.len()` the one after the last.
    fn edit_before(&self, index: usize) -> Option<Edit> {
        let at_end = index == self.saved.len();
        let start = match index.checked_sub(1) {
            Some(before) => self.saved[before].end,
            None => self.range.start,
        };
        let mut end = if at_end { self.range.end } else { self.saved[index].start };
        if self.saved.is_empty() && self.terminated {
            end += 1;
        }
        let newline = index > 0 && !(at_end && self.terminated);
        (start < end || newline).then_some(Edit { removed: start..end, newline, joined: false })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "bytes {}..{}: {}", self.range.start, self.range.end, self.kind)?;
        match self.saved.len() {
            0 if self.is_left_alone() => write!(f, "; left alone")?,
            0 => write!(f, "; nothing to save")?,
            1 => write!(f, "; 1 whole record")?,
            many => write!(f, "; {many} whole records")?,
        }
        match self.removed_bytes() {
            0 => Ok(()),
            1 => write!(f, ", 1 byte to take out"),
            many => write!(f, ", {many} bytes to take out"),
        }
    }
}

/// One edit of a repair: it removes bytes, and may insert a newline in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) removed: Range<u64>,
    pub(super) newline: bool,
    /// The removed bytes are a record of several lines, and are put back as one line.
    pub(super) joined: bool,
}

impl Edit {
    /// Whether nothing is kept or inserted between this edit and the next.
    pub(super) fn touches(&self, next: &Self) -> bool {
        let alone = self.newline || self.joined || next.joined;
        !alone && self.removed.end == next.removed.start
    }

    /// Makes the next edit, which it touches, a part of this one.
    pub(super) fn join(&mut self, next: &Self) {
        self.removed.end = next.removed.end;
        self.newline = next.newline;
    }
}
