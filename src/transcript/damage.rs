//! What can be wrong with a line, and what of it can be saved.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DamageKind {
    /// The last line has no newline and is not a whole value: a write that did not get to its end. While somebody
    /// writes, a reader without the data lock sees this too, for a moment.
    TornTail,
    /// Whole records share a line with something that is not: a cut record with the next one glued to it.
    Splice,
    /// Whole records without a newline between them or, on the last line, behind them.
    MissingNewline,
    /// NUL bytes and nothing else beside the whole records of the line, if it has any: a file that grew before a crash
    /// without its data reaching the disk.
    NulRun,
    /// The line has no whole record, and is not UTF-8.
    InvalidUtf8,
    /// The line has no whole record, and is no JSON value.
    NotJson,
}

impl DamageKind {
    /// Every kind, in the order in which reports list them.
    pub const ALL: [Self; 6] = [
        Self::TornTail,
        Self::Splice,
        Self::MissingNewline,
        Self::NulRun,
        Self::InvalidUtf8,
        Self::NotJson,
    ];

    /// The name in JSON and in reports, such as `torn-tail`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TornTail => "torn-tail",
            Self::Splice => "splice",
            Self::MissingNewline => "missing-newline",
            Self::NulRun => "nul-run",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::NotJson => "not-json",
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
        })
    }
}

/// A damaged line, or a part of one (see [`Damage::saved`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// The bytes of the line, without its newline.
    pub range: Range<u64>,
    /// The whole records in it, in order, each with the whitespace behind it. Everything between them is to be taken out.
    ///
    /// A line with more of them than [`MAX_SAVED`](crate::transcript::scan::MAX_SAVED) is reported in several parts, one
    /// behind the other, so that a hostile line costs no memory.
    pub saved: Vec<Range<u64>>,
    /// The number of the line, from 1; `None` when the file was not read from its beginning.
    pub line: Option<u64>,
    /// Whether a newline follows `range`. It does not at the end of the file, nor where a part of a line ends.
    pub terminated: bool,
}

impl Damage {
    /// The ranges to be taken out, in order; none of them is empty. A line of which nothing can be saved goes with its newline.
    pub fn removed(&self) -> impl Iterator<Item = Range<u64>> {
        self.edits().map(|edit| edit.removed).filter(|range| !range.is_empty())
    }

    /// How many bytes are to be taken out.
    pub fn removed_bytes(&self) -> u64 {
        self.removed().map(|range| range.end - range.start).sum()
    }

    /// What turns the damaged bytes into whole lines.
    pub(super) fn edits(&self) -> impl Iterator<Item = Edit> {
        let last = self.saved.len();
        (0..=last).filter_map(move |index| self.edit_before(index))
    }

    /// The change between the saved records `index - 1` and `index`; 0 is the front, and their number is the end.
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
        (start < end || newline).then_some(Edit { removed: start..end, newline })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "bytes {}..{}: {}", self.range.start, self.range.end, self.kind)?;
        match self.saved.len() {
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

/// One change that a repair makes: some bytes go, and perhaps a newline comes in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) removed: Range<u64>,
    pub(super) newline: bool,
}
