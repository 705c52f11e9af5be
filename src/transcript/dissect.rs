//! Finds the whole records in a damaged line.
//!
//! # The rule
//!
//! A record is a JSON object. Where one is expected (where the line begins, behind a whole record, behind NUL bytes) every
//! whole object is one. Anywhere else an object counts when it is not empty and what follows it is not
//! what would follow it inside of a record that goes on (`,` `]` `}` `:`). Of records that overlap, the one that begins first is
//! taken, so no whole record is lost; the price is explained at `Candidate::record`.
//! Arrays, numbers and other values that are not alone on their line cannot be told from pieces of a record: they are taken out.
//!
//! # Why it takes linear time
//!
//! A record may begin at every `{`, but two attempts are enough. An attempt that reads outside of a string either takes a `{` as a
//! nested object, and will notice when that one ends, or fails at it. So a new attempt is needed only where all live ones are
//! inside of a string; and two live ones are never both inside or both outside, because every quote turns both over. (One
//! behind a backslash turns only the one inside; but the other has failed at the backslash.)
//!
//! When the later attempt finds a record while the earlier one is alive, it waits for that one to fail, and the bytes behind the
//! record are read again then. Hostile lines could have that done at every record, so the bytes read again are counted: when
//! they are [`REREAD`] times the line, nothing waits any more.
//!
//! Memory: two windows, and eight bytes for each open level of each attempt, which are bounded by
//! [`MAX_DEPTH`](super::json::MAX_DEPTH).

use std::io;
use std::ops::Range;

use super::candidate::{Candidate, Stop};
use super::damage::{Damage, DamageKind};
use super::json::is_space;
use super::runs::quiet_run;
use super::scan::MAX_SAVED;
use super::source::{ReadAt, Window, each_piece};
use super::utf8::Utf8;

/// How many times the length of the line may be read again.
const REREAD: u64 = 4;

/// A damaged line on the table.
pub(super) struct Dissection {
    line: Range<u64>,
    terminated: bool,
    number: Option<u64>,
    /// Up to here everything is reported.
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

    /// The next part of the line, with at most [`MAX_SAVED`] records.
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

    /// The next whole record behind `self.at`.
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
        let mut rest = Rest::Nothing;
        for range in damage.removed() {
            // The newline of a line that goes altogether is no part of the damage.
            let range = range.start..range.end.min(self.line.end);
            each_piece(source, &mut self.window, range, |piece| {
                rest = rest.and(piece);
                Ok(rest != Rest::Other)
            })?;
        }
        Ok(match rest {
            Rest::Nul => DamageKind::NulRun,
            Rest::Nothing => DamageKind::MissingNewline,
            Rest::Other if !damage.saved.is_empty() => DamageKind::Splice,
            Rest::Other if !damage.terminated => DamageKind::TornTail,
            Rest::Other if is_utf8(source, &mut self.window, damage.range.clone())? => {
                DamageKind::NotJson
            }
            Rest::Other => DamageKind::InvalidUtf8,
        })
    }
}

/// What is left of a line besides its whole records, at worst.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    Nul,
    Other,
}

impl Rest {
    fn and(self, piece: &[u8]) -> Self {
        let worse = |rest, byte: &u8| match (rest, *byte) {
            (Rest::Other, _) => Rest::Other,
            (_, 0) => Rest::Nul,
            (rest, byte) if is_space(byte) => rest,
            _ => Rest::Other,
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

/// The live attempts, at most one inside and one outside of a string.
struct Search {
    live: [Candidate; 2],
    /// The next byte is where a record is expected.
    expected: bool,
    /// The record that begins first of those found, kept while an attempt that began before it is alive.
    held: Option<Range<u64>>,
}

impl Default for Search {
    fn default() -> Self {
        Self { live: [Candidate::default(), Candidate::default()], expected: true, held: None }
    }
}

impl Search {
    /// Where a record is expected again; the memory is kept.
    fn reset(&mut self) {
        self.live.iter_mut().for_each(Candidate::give_up);
        self.expected = true;
        self.held = None;
    }

    /// How many bytes at the front change nothing.
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

    /// Takes the byte at `at`; the whole records that it puts an end to.
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
        // There is always one that is free: if both were live, one would be outside.
        if let Some(free) = self.live.iter_mut().find(|one| !one.is_live()) {
            free.begin(at, self.expected);
        }
    }

    fn live(&self) -> impl Iterator<Item = &Candidate> {
        self.live.iter().filter(|one| one.is_live())
    }

    /// The line ends at `at`; the whole records that it ends with.
    fn finish(&self, at: u64, terminated: bool) -> [Option<Range<u64>>; 2] {
        let stop = Stop::EndOfLine { terminated };
        self.live.each_ref().map(|one| one.record(stop, at))
    }

    fn hold(&mut self, record: Range<u64>) {
        if self.held.as_ref().is_none_or(|held| record.start < held.start) {
            self.held = Some(record);
        }
    }

    /// The record to take, once no attempt that began before it is alive, or it has waited too long.
    #[inline]
    fn decided(&self, at: u64, patience: u64) -> Option<Range<u64>> {
        let held = self.held.as_ref()?;
        let earlier = |one: &Candidate| one.start() < held.start;
        let contested = self.live().any(earlier);
        (!contested || at - held.end >= patience).then(|| held.clone())
    }
}
