//! One attempt to read a record that may begin at a given byte of a damaged line.

use std::ops::Range;

use super::json::Validator;

/// What is known of the place where an attempt begins.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin {
    /// A record is expected: at the start of the line, after a record, or after NUL bytes.
    pub(super) expected: bool,
    /// Everything back to where a record was expected (not after NUL bytes) are cut records, as far
    /// as can be told.
    pub(super) known: bool,
    /// The byte before it, whitespace aside, is one after which a value may be nested.
    pub(super) inside: bool,
}

/// An attempt to read a record, or room for one.
///
/// A long line may need an attempt at every byte, so the memory of an attempt is reused.
#[derive(Default)]
pub(super) struct Candidate {
    live: bool,
    json: Validator,
    origin: Origin,
    start: u64,
    /// It has no key so far.
    empty: bool,
}

impl Candidate {
    /// Begins an attempt with the `{` at `start`.
    pub(super) fn begin(&mut self, start: u64, origin: Origin) {
        self.json.reset();
        self.live = self.json.step(b'{');
        self.origin = origin;
        self.start = start;
        self.empty = true;
    }

    /// Whether the attempt has begun and has not failed.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Ends the attempt: what was read is not continued.
    pub(super) fn give_up(&mut self) {
        self.live = false;
    }

    /// Whether what was read back to where a record was expected is known.
    pub(super) fn is_known(&self) -> bool {
        self.origin.known
    }

    /// Whether the next byte is part of a string.
    pub(super) fn in_text(&self) -> bool {
        self.live && self.json.in_text()
    }

    /// Whether the next byte is part of a string, but not of an escape in it.
    pub(super) fn in_plain_text(&self) -> bool {
        self.live && self.json.in_plain_text()
    }

    /// Whether a whole object was read.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.live && self.json.is_done()
    }

    /// Whether the attempt failed only because the object is nested too deeply.
    pub(super) fn is_too_deep(&self) -> bool {
        self.json.is_too_deep()
    }

    /// Takes the next byte. Returns false if it cannot follow.
    #[inline]
    pub(super) fn step(&mut self, byte: u8) -> bool {
        self.empty &= byte != b'"';
        self.live = self.json.step(byte);
        self.live
    }

    /// The record that ends at `at`, if a whole object was read and nothing says that it is a part
    /// of another value. `next` is the byte that follows it, or `None` at the end of the line.
    pub(super) fn record(&self, next: Option<u8>, at: u64) -> Option<Range<u64>> {
        let Origin { expected, known, inside } = self.origin;
        let continued = next.is_some_and(|byte| matches!(byte, b',' | b']' | b'}' | b':'));
        let nested = continued || (inside && !known);
        let counts = !nested && (expected || !self.empty);
        (self.is_whole() && counts).then_some(self.start..at)
    }
}
