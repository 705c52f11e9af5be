//! One attempt to read a record that may begin at a given byte of a damaged line.

use std::ops::Range;

use super::json::{Validator, is_space};

/// What ended an attempt.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// A byte that cannot follow what was read.
    Byte(u8),
    /// The end of the line.
    EndOfLine {
        /// Whether a newline ends the line.
        terminated: bool,
    },
}

/// An attempt to read a record, or room for one.
///
/// A long line may need an attempt at every byte, so the memory of an attempt is reused.
#[derive(Default)]
pub(super) struct Candidate {
    live: bool,
    json: Validator,
    /// Where each open array and object begins.
    open: Vec<u64>,
    /// It begins where a record is expected: at the start of the line, after a whole record, or
    /// after NUL bytes.
    expected: bool,
    start: u64,
    /// The start of the object that was closed last, if only whitespace has followed it.
    closed: Option<u64>,
    /// The last byte that is not whitespace.
    last: u8,
}

impl Candidate {
    /// Begins an attempt with the `{` at `start`.
    pub(super) fn begin(&mut self, start: u64, expected: bool) {
        self.live = true;
        self.json.reset();
        self.open.clear();
        self.expected = expected;
        self.start = start;
        self.step(b'{', start);
    }

    /// Whether the attempt has begun and has not failed.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Ends the attempt: what was read is not continued.
    pub(super) fn give_up(&mut self) {
        self.live = false;
        self.closed = None;
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Whether the next byte is part of a string.
    pub(super) fn in_text(&self) -> bool {
        self.json.in_text()
    }

    /// Whether the next byte is part of a string, but not of an escape in it.
    pub(super) fn in_plain_text(&self) -> bool {
        self.json.in_plain_text()
    }

    /// Takes the byte at `at`. Returns false if it cannot follow.
    #[inline]
    pub(super) fn step(&mut self, byte: u8, at: u64) -> bool {
        let depth = self.json.depth();
        if !self.json.step(byte) {
            return false;
        }
        if is_space(byte) {
            return true;
        }
        self.closed = None;
        if self.json.depth() > depth {
            self.open.push(at);
        } else if self.json.depth() < depth {
            let start = self.open.pop();
            let whole = byte == b'}' && (self.last != b'{' || self.is_expected_record());
            self.closed = start.filter(|_| whole);
        }
        self.last = byte;
        true
    }

    /// The whole record that ends at `at`, given what stopped the attempt there.
    ///
    /// A closed object counts at any depth. `{"a":{"b":1}` at the end of a line may be a record
    /// that was cut after `{"a":`, followed by a whole one. It may also be a cut record with a
    /// nested object. The two cannot be told apart, and one line too many is better than a lost
    /// record. At the end of a file without a newline, it is nearly always an interrupted write,
    /// and no record is taken from it.
    pub(super) fn record(&self, stop: Stop, at: u64) -> Option<Range<u64>> {
        let whole = self.closed?..at;
        let believed = match stop {
            _ if self.is_expected_record() => true,
            // The object may be nested: the enclosing value can continue with these bytes.
            Stop::Byte(byte) => !matches!(byte, b',' | b']' | b'}' | b':'),
            Stop::EndOfLine { terminated } => terminated || self.json.depth() == 0,
        };
        believed.then_some(whole)
    }

    fn is_expected_record(&self) -> bool {
        self.expected && self.json.depth() == 0
    }
}
