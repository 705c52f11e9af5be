//! Finds the records that survive of a damaged line.
//!
//! # The rule
//!
//! A record is a whole JSON object in UTF-8 that is no part of another value. The line is read from
//! left to right. An *attempt* to read an object begins at the first `{`, and ends where the object
//! is whole, or was cut: at the byte that cannot follow. The next attempt begins at the next `{`,
//! at that byte at the earliest. What an attempt reads as a nested value is therefore never a
//! record, whether the attempt ends well or not.
//!
//! A record may also have been cut in a string. While an attempt is in a string and no second one
//! is under way, a second one begins at each `{`. If the first was cut, the second takes its place.
//! If either becomes whole before that, the second is dropped: the string was one.
//!
//! Three things remain that say that a whole object is part of a value whose beginning was lost: it
//! is followed by a byte that continues a value (`,` `]` `}` `:`), or preceded by one after which a
//! value is nested (`[` `,` `:`), unless the attempt before it shows that it was cut just there; or
//! it is empty, and not where a record is expected. And where every record of the file has a
//! `type`, an object without one is a piece.
//!
//! Arrays, numbers and other values that share a line with something else cannot be told from parts
//! of a record. They are removed.
//!
//! # Why it takes linear time
//!
//! Every byte is taken once, by two attempts at most. The two are never both inside a string or
//! both outside, because every quote flips both. (A quote after a backslash flips only the attempt
//! outside. But that attempt has already failed at the backslash.) So a `{` is either inside a
//! string of the first attempt only, or it is a nested value, or the first attempt fails there. The
//! bytes of a whole object are read once more, to check that they are UTF-8.
//!
//! The memory needed is two windows, and one bit for each open level of each attempt. The levels
//! are bounded by [`MAX_DEPTH`](super::json::MAX_DEPTH). Where a line is nested more deeply, no
//! verdict is possible. The rest of it is then left alone ([`DamageKind::TooDeep`]).

use std::io;
use std::ops::Range;

use super::candidate::{Candidate, Origin};
use super::damage::{Damage, DamageKind};
use super::json::is_space;
use super::literals::Literals;
use super::runs::{nul_run, quiet_run};
use super::scan::MAX_SAVED;
use super::source::{ReadAt, Window, each_piece, hole_behind, read_exact};
use super::typed::has_type;
use super::utf8::Utf8;

/// A damaged line whose records are being found.
pub(super) struct Dissection {
    line: Range<u64>,
    terminated: bool,
    number: Option<u64>,
    /// Everything before this offset has been reported.
    at: u64,
    /// What follows is nested too deeply.
    too_deep: bool,
    /// Every record of the file has a `type`.
    typed: bool,
    window: Window,
    second_window: Window,
    search: Search,
}

/// What comes next in the line.
enum Found {
    Record(Range<u64>),
    /// An object that is nested too deeply for a verdict.
    TooDeep,
    End,
}

impl Dissection {
    pub(super) fn new(
        line: Range<u64>,
        terminated: bool,
        number: Option<u64>,
        chunk: usize,
        typed: bool,
    ) -> Self {
        Self {
            at: line.start,
            line,
            terminated,
            number,
            too_deep: false,
            typed,
            window: Window::new(chunk),
            second_window: Window::new(chunk),
            search: Search::default(),
        }
    }

    /// Finds the next part of the line, with at most [`MAX_SAVED`] records. `None` at its end.
    pub(super) fn next_damage(&mut self, source: &impl ReadAt) -> io::Result<Option<Damage>> {
        if self.at == self.line.end {
            return Ok(None);
        }
        let start = self.at;
        let mut saved = Vec::new();
        self.search.outside = Outside::Nothing;
        while saved.len() < MAX_SAVED && !self.too_deep {
            let outside = self.search.outside;
            match self.next_record(source)? {
                Found::Record(record) => {
                    self.at = record.end;
                    saved.push(record);
                }
                Found::TooDeep => {
                    self.too_deep = true;
                    // What follows the last record is the next damage.
                    self.search.outside = outside;
                }
                Found::End => {
                    self.at = self.line.end;
                    break;
                }
            }
        }
        if self.too_deep && saved.is_empty() {
            self.at = self.line.end;
            let rest = start..self.line.end;
            return Ok(Some(Damage::too_deep(rest, self.number, self.terminated)));
        }
        let mut damage = Damage {
            kind: DamageKind::NotJson,
            range: start..self.at,
            saved,
            line: self.number,
            terminated: self.terminated && self.at == self.line.end,
        };
        damage.kind = self.kind(source, &damage)?;
        Ok(Some(damage))
    }

    /// Finds the next record from `self.at` on.
    fn next_record(&mut self, source: &impl ReadAt) -> io::Result<Found> {
        let search = &mut self.search;
        search.reset();
        let mut at = self.at;
        while at < self.line.end {
            let bytes = self.window.front(source, at..self.line.end)?;
            let mut index = 0;
            while index < bytes.len() {
                index += search.skip(&bytes[index..]);
                let Some(byte) = bytes.get(index) else { break };
                let here = at + index as u64;
                if search.ends_before(*byte) {
                    if let Some(record) = search.record(Some(*byte), here)
                        && is_record(source, &mut self.second_window, self.typed, &record)?
                    {
                        return Ok(Found::Record(record));
                    }
                    search.refuse();
                }
                search.take(*byte, here);
                if search.too_deep {
                    return Ok(Found::TooDeep);
                }
                index += 1;
            }
            at += bytes.len() as u64;
            if search.is_in_nuls() {
                at += hole_behind(bytes, source, at..self.line.end);
            }
        }
        if let Some(record) = search.record(None, self.line.end)
            && is_record(source, &mut self.second_window, self.typed, &record)?
        {
            return Ok(Found::Record(record));
        }
        search.refuse();
        Ok(Found::End)
    }

    fn kind(&mut self, source: &impl ReadAt, damage: &Damage) -> io::Result<DamageKind> {
        Ok(match self.search.outside {
            Outside::Nul => DamageKind::NulRun,
            Outside::Nothing => DamageKind::MissingNewline,
            Outside::Other => match self.kind_of_line(source, damage)? {
                Some(kind) => kind,
                None if !damage.saved.is_empty() => DamageKind::Splice,
                None if !damage.terminated => DamageKind::TornTail,
                None => DamageKind::NotJson,
            },
        })
    }

    /// The kind of a line that is not JSON because of one thing that has a name.
    fn kind_of_line(
        &mut self,
        source: &impl ReadAt,
        damage: &Damage,
    ) -> io::Result<Option<DamageKind>> {
        let range = &damage.range;
        let behind_mark = range.start + MARK.len() as u64;
        if damage.saved.as_slice() == std::slice::from_ref(&(behind_mark..range.end)) {
            let mut front = [0; MARK.len()];
            read_exact(source, &mut front, range.start)?;
            return Ok((front == MARK).then_some(DamageKind::ByteOrderMark));
        }
        if !damage.saved.is_empty() {
            return Ok(None);
        }
        let (mut literals, mut fits) = (Literals::new(), true);
        let mut utf8 = Utf8::default();
        let mut good = true;
        each_piece(source, &mut self.second_window, range.clone(), |piece| {
            good = good && utf8.feed(piece);
            fits = fits && literals.feed(piece);
            Ok(good || fits)
        })?;
        Ok(match literals.found().filter(|_| fits) {
            Some(literal) => Some(literal),
            None if damage.terminated && !(good && utf8.is_whole()) => {
                Some(DamageKind::InvalidUtf8)
            }
            None => None,
        })
    }
}

/// The byte order mark of UTF-8.
const MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// The worst kind of byte outside of the records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outside {
    Nothing,
    Nul,
    Other,
}

/// Whether a whole object is a record.
fn is_record(
    source: &impl ReadAt,
    window: &mut Window,
    typed: bool,
    range: &Range<u64>,
) -> io::Result<bool> {
    let is_piece = typed && !has_type(source, range.clone())?;
    Ok(!is_piece && is_utf8(source, window, range.clone())?)
}

fn is_utf8(source: &impl ReadAt, window: &mut Window, range: Range<u64>) -> io::Result<bool> {
    let mut utf8 = Utf8::default();
    let mut good = true;
    each_piece(source, window, range, |piece| {
        good = utf8.feed(piece);
        Ok(good)
    })?;
    Ok(good && utf8.is_whole())
}

/// The attempts that are under way.
struct Search {
    first: Candidate,
    /// An attempt that began in a string of the first.
    second: Candidate,
    /// A record is expected at the next byte.
    expected: bool,
    /// The same, and not only because of NUL bytes.
    known: bool,
    /// The last byte that is not whitespace. NUL if there is none.
    last: u8,
    /// The worst byte outside of the records of this part.
    outside: Outside,
    /// An attempt failed at the limit of depth.
    too_deep: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            first: Candidate::default(),
            second: Candidate::default(),
            expected: true,
            known: true,
            last: 0,
            outside: Outside::Nothing,
            too_deep: false,
        }
    }
}

impl Search {
    /// Starts anew, where a record is expected. The memory is kept.
    fn reset(&mut self) {
        self.first.give_up();
        self.second.give_up();
        (self.expected, self.known, self.last) = (true, true, 0);
    }

    /// Whether the last byte was a NUL outside of every attempt. More of them change nothing.
    fn is_in_nuls(&self) -> bool {
        !self.first.is_live() && self.last == 0 && self.expected && !self.known
    }

    /// The number of bytes at the front that change nothing.
    #[inline]
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let skipped = if self.is_in_nuls() {
            nul_run(bytes)
        } else if !self.first.is_live() && !self.expected {
            memchr::memchr2(b'{', 0, bytes).unwrap_or(bytes.len())
        } else if self.first.in_plain_text() && !self.second.is_live() {
            quiet_run(bytes)
        } else {
            0
        };
        if let Some(last) = bytes[..skipped].iter().rfind(|byte| !is_space(**byte)) {
            self.last = *last;
        }
        skipped
    }

    /// Whether the first attempt is whole, and `byte` no longer belongs to it.
    #[inline]
    fn ends_before(&self, byte: u8) -> bool {
        self.first.is_whole() && !is_space(byte)
    }

    fn record(&self, next: Option<u8>, at: u64) -> Option<Range<u64>> {
        self.first.record(next, at)
    }

    /// What the first attempt has read is no record.
    fn refuse(&mut self) {
        if self.first.is_live() {
            self.first.give_up();
            self.outside = Outside::Other;
        }
        self.second.give_up();
    }

    /// Takes the byte at `at`.
    #[inline]
    fn take(&mut self, byte: u8, at: u64) {
        let mut known = self.known && self.expected;
        if self.first.is_live() {
            known = self.step(byte);
        } else if byte != b'{' {
            self.pass(byte);
        }
        if byte == b'{' {
            self.begin(at, known);
        }
        let blank = is_space(byte);
        if byte == 0 {
            (self.expected, self.known) = (true, false);
        } else if !blank {
            self.expected = false;
        }
        if !blank {
            self.last = byte;
        }
    }

    /// Passes a byte outside of every attempt.
    fn pass(&mut self, byte: u8) {
        let kind = match byte {
            0 => Outside::Nul,
            _ if is_space(byte) => Outside::Nothing,
            _ => Outside::Other,
        };
        self.outside = self.outside.max(kind);
    }

    /// Takes a byte in all attempts. Returns whether a record that is cut before it is known.
    #[inline]
    fn step(&mut self, byte: u8) -> bool {
        let goes_on = self.first.step(byte);
        if self.second.is_live() {
            let failed = !self.second.step(byte);
            self.too_deep |= failed && self.second.is_too_deep();
            if failed || self.second.is_whole() {
                self.second.give_up();
            }
        }
        if goes_on {
            if self.first.is_whole() {
                self.second.give_up();
            }
            return false;
        }
        self.too_deep |= self.first.is_too_deep();
        self.outside = Outside::Other;
        let known = self.first.is_known();
        if self.second.is_live() {
            std::mem::swap(&mut self.first, &mut self.second);
        }
        known
    }

    /// Begins an attempt with the `{` at `at`, unless it is a nested value.
    fn begin(&mut self, at: u64, known: bool) {
        let inside = matches!(self.last, b'[' | b',' | b':');
        if !self.first.is_live() {
            let expected = self.expected;
            self.first.begin(at, Origin { expected, known, inside });
        } else if self.first.in_text() && !self.second.is_live() {
            let known = self.first.is_known();
            self.second.begin(at, Origin { expected: false, known, inside });
        }
    }
}
