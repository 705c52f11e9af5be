//! One attempt to read a record that may begin at a certain byte of a damaged line.

use std::ops::Range;

use super::json::{Validator, is_space};

/// What ended an attempt.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// A byte that cannot follow.
    Byte(u8),
    /// The end of the line.
    EndOfLine {
        /// Whether there is a newline.
        terminated: bool,
    },
}

/// An attempt, or room for one: there may be one at every byte of a long line, so its memory is used again.
#[derive(Default)]
pub(super) struct Candidate {
    live: bool,
    json: Validator,
    /// Where each open array and object begins.
    open: Vec<u64>,
    /// It begins where a record is expected: where the line begins, behind a whole record, or behind NUL bytes.
    expected: bool,
    start: u64,
    /// Where the object begins that has just been closed, if nothing but whitespace followed.
    closed: Option<u64>,
    /// The last byte that was not whitespace.
    last: u8,
}

impl Candidate {
    /// Begins with the `{` at `start`.
    pub(super) fn begin(&mut self, start: u64, expected: bool) {
        self.live = true;
        self.json.reset();
        self.open.clear();
        self.expected = expected;
        self.start = start;
        self.step(b'{', start);
    }

    /// Whether it has begun and not failed yet.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// What was read does not go on.
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

    /// Whether the next byte is part of a string, and not of an escape in it.
    pub(super) fn in_plain_text(&self) -> bool {
        self.json.in_plain_text()
    }

    /// Takes the byte at `at`; false if it cannot follow.
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

    /// The whole record that the bytes before `at` end with, given what came there.
    ///
    /// Closed objects count at any depth: `{"a":{"b":1}` at the end of a line may be a record that was cut behind `{"a":`,
    /// and then one that is whole. It may as well be a nested object of the cut record; that is not to be told apart, and
    /// one line too many is better than a record lost. At the end of a file without a newline it is taken for what it is
    /// nearly always: a write that did not get to its end.
    pub(super) fn record(&self, stop: Stop, at: u64) -> Option<Range<u64>> {
        let whole = self.closed?..at;
        let believed = match stop {
            _ if self.is_expected_record() => true,
            // So goes on what the object is nested in.
            Stop::Byte(byte) => !matches!(byte, b',' | b']' | b'}' | b':'),
            Stop::EndOfLine { terminated } => terminated || self.json.depth() == 0,
        };
        believed.then_some(whole)
    }

    fn is_expected_record(&self) -> bool {
        self.expected && self.json.depth() == 0
    }
}
