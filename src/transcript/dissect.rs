//! Finds the whole records in a damaged line.
//!
//! # The rule
//!
//! A record is a JSON object. Where a record is expected, every whole object is one. A record is
//! expected at the start of the line, after a whole record, and after NUL bytes. Anywhere else, an
//! object counts if it is not empty and if the next byte cannot continue an enclosing record (`,`
//! `]` `}` `:`). Of overlapping records, the one that begins first is taken, so no whole record is
//! lost. `Candidate::record` explains the price.
//!
//! Arrays, numbers and other values that share a line with something else cannot be told from parts
//! of a record. They are removed.
//!
//! # Why it takes linear time
//!
//! A record may begin at every `{`, but two attempts at a time are enough. An attempt that is
//! outside of a string at a `{` either takes it as a nested object, and notices where that object
//! ends, or fails. So a new attempt is needed only where every live attempt is inside a string. Two
//! live attempts are never both inside a string or both outside, because every quote flips both. (A
//! quote after a backslash flips only the attempt outside. But that attempt has already failed at
//! the backslash.)
//!
//! If the later attempt finds a record while the earlier one is alive, the record is held until the
//! earlier attempt fails. The bytes after the record are then read again. A hostile line could
//! cause that at every record, so the bytes that are read again are counted. When they reach
//! [`REREAD`] times the length of the line, no record is held any longer.
//!
//! The memory needed is two windows, and eight bytes for each open level of each attempt. The
//! levels are bounded by [`MAX_DEPTH`](super::json::MAX_DEPTH).

use std::io;
use std::ops::Range;

use super::candidate::{Candidate, Stop};
use super::damage::{Damage, DamageKind};
use super::json::is_space;
use super::runs::quiet_run;
use super::scan::MAX_SAVED;
use super::source::{ReadAt, Window, each_piece};
use super::utf8::Utf8;

/// The bytes that may be read again, as a multiple of the length of the line.
const REREAD: u64 = 4;

/// A damaged line whose whole records are being found.
pub(super) struct Dissection {
    line: Range<u64>,
    terminated: bool,
    number: Option<u64>,
    /// Everything before this offset has been reported.
    at: u64,
    /// How many bytes may still be read again.
    reread: u64,
    window: Window,
    second_window: Window,
    search: Search,
}

impl Dissection {
    pub(super) fn new(
        line: Range<u64>,
        terminated: bool,
        number: Option<u64>,
        chunk: usize,
    ) -> Self {
        Self {
            at: line.start,
            reread: (line.end - line.start).saturating_mul(REREAD),
            line,
            terminated,
            number,
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
        while saved.len() < MAX_SAVED {
            let Some(record) = self.next_record(source)? else {
                self.at = self.line.end;
                break;
            };
            self.at = record.end;
            saved.push(record);
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

    /// Finds the next whole record from `self.at` on.
    fn next_record(&mut self, source: &impl ReadAt) -> io::Result<Option<Range<u64>>> {
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
                for record in search.take(*byte, here).into_iter().flatten() {
                    if is_utf8(source, &mut self.second_window, record.clone())? {
                        search.hold(record);
                    }
                }
                if let Some(record) = search.decided(here, self.reread) {
                    self.reread = self.reread.saturating_sub(here - record.end);
                    return Ok(Some(record));
                }
                index += 1;
            }
            at += bytes.len() as u64;
        }
        for record in search.finish(self.line.end, self.terminated).into_iter().flatten() {
            if is_utf8(source, &mut self.second_window, record.clone())? {
                search.hold(record);
            }
        }
        if let Some(record) = &search.held {
            self.reread = self.reread.saturating_sub(self.line.end - record.end);
        }
        Ok(search.held.clone())
    }

    fn kind(&mut self, source: &impl ReadAt, damage: &Damage) -> io::Result<DamageKind> {
        let mut outside = Outside::Nothing;
        for range in damage.removed() {
            // The newline of a line that is removed entirely is not part of the damage.
            let range = range.start..range.end.min(self.line.end);
            each_piece(source, &mut self.window, range, |piece| {
                outside = outside.and(piece);
                Ok(outside != Outside::Other)
            })?;
        }
        Ok(match outside {
            Outside::Nul => DamageKind::NulRun,
            Outside::Nothing => DamageKind::MissingNewline,
            Outside::Other if !damage.saved.is_empty() => DamageKind::Splice,
            Outside::Other if !damage.terminated => DamageKind::TornTail,
            Outside::Other if is_utf8(source, &mut self.window, damage.range.clone())? => {
                DamageKind::NotJson
            }
            Outside::Other => DamageKind::InvalidUtf8,
        })
    }
}

/// The worst kind of byte in a line outside of its whole records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    Nothing,
    Nul,
    Other,
}

impl Outside {
    fn and(self, piece: &[u8]) -> Self {
        let worse = |rest, byte: &u8| match (rest, *byte) {
            (Outside::Other, _) => Outside::Other,
            (_, 0) => Outside::Nul,
            (rest, byte) if is_space(byte) => rest,
            _ => Outside::Other,
        };
        piece.iter().fold(self, worse)
    }
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

/// The live attempts: at most one inside and one outside of a string.
struct Search {
    live: [Candidate; 2],
    /// A record is expected at the next byte.
    expected: bool,
    /// The earliest record found so far, held while an attempt that began before it is alive.
    held: Option<Range<u64>>,
}

impl Default for Search {
    fn default() -> Self {
        Self { live: [Candidate::default(), Candidate::default()], expected: true, held: None }
    }
}

impl Search {
    /// Starts anew, where a record is expected. The memory is kept.
    fn reset(&mut self) {
        self.live.iter_mut().for_each(Candidate::give_up);
        self.expected = true;
        self.held = None;
    }

    /// The number of bytes at the front that change nothing.
    #[inline]
    fn skip(&self, bytes: &[u8]) -> usize {
        let [one, other] = &self.live;
        match (one.is_live(), other.is_live()) {
            (false, false) if !self.expected && self.held.is_none() => {
                memchr::memchr2(b'{', 0, bytes).unwrap_or(bytes.len())
            }
            (true, false) if one.in_plain_text() => quiet_run(bytes),
            (false, true) if other.in_plain_text() => quiet_run(bytes),
            _ => 0,
        }
    }

    /// Takes the byte at `at`. Returns the whole records that end before it.
    #[inline]
    fn take(&mut self, byte: u8, at: u64) -> [Option<Range<u64>>; 2] {
        let mut found = [None, None];
        for (candidate, found) in self.live.iter_mut().zip(&mut found) {
            if candidate.is_live() && !candidate.step(byte, at) {
                *found = candidate.record(Stop::Byte(byte), at);
                candidate.give_up();
            }
        }
        if byte == b'{' {
            self.begin(at);
        }
        self.expected = byte == 0 || (self.expected && is_space(byte));
        found
    }

    /// Begins an attempt with the `{` at `at`, unless a live one reads it outside of a string.
    fn begin(&mut self, at: u64) {
        if self.live().any(|one| !one.in_text()) {
            return;
        }
        // One of them is always free: if both were live, one would be outside of a string.
        if let Some(free) = self.live.iter_mut().find(|one| !one.is_live()) {
            free.begin(at, self.expected);
        }
    }

    fn live(&self) -> impl Iterator<Item = &Candidate> {
        self.live.iter().filter(|one| one.is_live())
    }

    /// Returns the whole records that end at `at`, where the line ends.
    fn finish(&self, at: u64, terminated: bool) -> [Option<Range<u64>>; 2] {
        let stop = Stop::EndOfLine { terminated };
        self.live.each_ref().map(|one| one.record(stop, at))
    }

    fn hold(&mut self, record: Range<u64>) {
        if self.held.as_ref().is_none_or(|held| record.start < held.start) {
            self.held = Some(record);
        }
    }

    /// The record to take, once no earlier attempt is alive, or once `limit` bytes after the record
    /// were read.
    #[inline]
    fn decided(&self, at: u64, limit: u64) -> Option<Range<u64>> {
        let held = self.held.as_ref()?;
        let earlier = |one: &Candidate| one.start() < held.start;
        let contested = self.live().any(earlier);
        (!contested || at - held.end >= limit).then(|| held.clone())
    }
}
