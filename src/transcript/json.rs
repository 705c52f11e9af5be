//! A strict JSON validator (RFC 8259) that takes its input in pieces of any size.
//!
//! It keeps no input, so the length of a line costs time but no memory. It keeps one bit per level
//! of nesting, up to [`MAX_DEPTH`] levels (125 KB). Deeper nesting is rejected. It does not
//! recurse.
//!
//! It does not check UTF-8: in a string, it looks only for quotes, escapes and control characters.
//! A lone surrogate (`"\ud800"`) and a number beyond the range of any machine type (`1e999`) are
//! well-formed, as the RFC says.

use super::runs::plain_run;

/// The greatest accepted depth of nested arrays and objects.
pub const MAX_DEPTH: usize = 1_000_000;

/// What may come next in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value. At depth 0, this is the beginning of the text.
    Value,
    /// A value or `]`.
    FirstElement,
    /// A key or `}`.
    FirstKey,
    /// A key.
    Key,
    /// A colon.
    Colon,
    /// A comma or the end of the container.
    After,
    /// Nothing but whitespace.
    Done,
    /// The inside of a string.
    Text,
    /// The character after a backslash.
    Escape,
    /// This many more digits of `\uXXXX`.
    Hex(u8),
    /// The rest of `true`, `false`, `null`.
    Literal(&'static [u8]),
    /// A digit after `-`.
    Minus,
    /// `.`, `e`, or the end of a number that began with 0.
    Zero,
    /// More digits, `.`, `e`, or the end of the number.
    Integer,
    /// The first digit after the point.
    Point,
    /// More digits, `e`, or the end of the number.
    Fraction,
    /// A sign or a digit after `e`.
    Exponent,
    /// A digit after `e+`.
    ExponentSign,
    /// More digits, or the end of the number.
    ExponentDigits,
}

/// Checks one JSON value, with optional whitespace around it, as its bytes arrive.
#[derive(Clone, Debug)]
pub struct Validator {
    state: State,
    /// The string being read is a key.
    is_key: bool,
    /// The innermost container is an object.
    in_object: bool,
    depth: usize,
    /// The last byte would have opened a level beyond [`MAX_DEPTH`].
    too_deep: bool,
    /// One bit per level, 1 for an object. [`open`](Self::open) sets the bit of the level that it
    /// opens.
    objects: Vec<u64>,
}

impl Default for Validator {
    fn default() -> Self {
        Self::new()
    }
}

impl Validator {
    /// A validator that has seen nothing.
    pub fn new() -> Self {
        Self {
            state: State::Value,
            is_key: false,
            in_object: false,
            depth: 0,
            too_deep: false,
            objects: Vec::new(),
        }
    }

    /// Starts anew for the next text. The allocated memory is kept.
    pub fn reset(&mut self) {
        self.state = State::Value;
        self.depth = 0;
        self.too_deep = false;
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// The index in `bytes` of the first byte that cannot follow. After an error, the validator
    /// must be [`reset`](Self::reset) before the next call.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Text {
                at += plain_run(&bytes[at..]);
                if at == bytes.len() {
                    break;
                }
            }
            if !self.step(bytes[at]) {
                return Err(at);
            }
            at += 1;
        }
        Ok(())
    }

    /// Whether the input so far is one whole value.
    pub fn is_whole(&self) -> bool {
        use State::{Done, ExponentDigits, Fraction, Integer, Zero};
        self.depth == 0 && matches!(self.state, Done | Zero | Integer | Fraction | ExponentDigits)
    }

    /// Whether the input so far is only whitespace.
    pub fn is_blank(&self) -> bool {
        self.depth == 0 && self.state == State::Value
    }

    /// The number of open arrays and objects.
    #[cfg(feature = "testing")]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether the last byte was refused only because it opens a level beyond [`MAX_DEPTH`].
    pub(crate) fn is_too_deep(&self) -> bool {
        self.too_deep
    }

    /// Whether the input so far is one whole array, object, string or literal.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether a value may begin with the next byte, or has begun with a minus.
    pub(super) fn wants_value(&self) -> bool {
        matches!(self.state, State::Value | State::FirstElement | State::Minus)
    }

    /// Whether the next byte is part of a string.
    pub(super) fn in_text(&self) -> bool {
        matches!(self.state, State::Text | State::Escape | State::Hex(_))
    }

    /// Whether the next byte is part of a string of an object, but not of an escape in it.
    pub(super) fn in_text_of_object(&self) -> bool {
        let is_object = self.depth > 0 && self.objects[0] & 1 == 1;
        self.state == State::Text && is_object
    }

    /// Whether the next byte is part of a string, but not of an escape in it.
    pub(super) fn in_plain_text(&self) -> bool {
        self.state == State::Text
    }

    /// Takes one byte. Returns false if it cannot follow.
    #[inline]
    pub(super) fn step(&mut self, byte: u8) -> bool {
        match self.state {
            State::Text => self.text(byte),
            State::After => self.after(byte),
            State::Colon => self.expect(byte, b':', State::Value),
            State::Key => self.key(byte),
            State::Value => self.value(byte),
            State::FirstKey if byte == b'}' => self.close(),
            State::FirstKey => self.key(byte),
            State::FirstElement if byte == b']' => self.close(),
            State::FirstElement => self.value(byte),
            State::Done => is_space(byte),
            State::Escape => self.escape(byte),
            State::Hex(left) => self.hex(byte, left),
            State::Literal(rest) => self.literal(byte, rest),
            _ => self.number(byte),
        }
    }

    #[inline]
    fn text(&mut self, byte: u8) -> bool {
        match byte {
            b'"' if self.is_key => self.state = State::Colon,
            b'"' => self.end_value(),
            b'\\' => self.state = State::Escape,
            _ => return byte >= 0x20,
        }
        true
    }

    #[inline]
    fn after(&mut self, byte: u8) -> bool {
        match byte {
            b',' if self.in_object => self.state = State::Key,
            b',' => self.state = State::Value,
            b'}' if self.in_object => return self.close(),
            b']' if !self.in_object => return self.close(),
            _ => return is_space(byte),
        }
        true
    }

    #[inline]
    fn key(&mut self, byte: u8) -> bool {
        self.is_key = true;
        self.expect(byte, b'"', State::Text)
    }

    #[inline]
    fn value(&mut self, byte: u8) -> bool {
        self.state = match byte {
            b'"' => {
                self.is_key = false;
                State::Text
            }
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            b'-' => State::Minus,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Integer,
            _ => return is_space(byte),
        };
        true
    }

    #[inline]
    fn expect(&mut self, byte: u8, wanted: u8, next: State) -> bool {
        if byte == wanted {
            self.state = next;
            return true;
        }
        is_space(byte)
    }

    fn escape(&mut self, byte: u8) -> bool {
        self.state = match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text,
            b'u' => State::Hex(4),
            _ => return false,
        };
        true
    }

    fn hex(&mut self, byte: u8, left: u8) -> bool {
        self.state = if left > 1 { State::Hex(left - 1) } else { State::Text };
        byte.is_ascii_hexdigit()
    }

    fn literal(&mut self, byte: u8, rest: &'static [u8]) -> bool {
        match rest {
            [last] => {
                let fits = byte == *last;
                self.end_value();
                fits
            }
            [next, rest @ ..] => {
                self.state = State::Literal(rest);
                byte == *next
            }
            [] => false,
        }
    }

    fn number(&mut self, byte: u8) -> bool {
        use State::*;
        self.state = match (self.state, byte) {
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Integer, b'0'..=b'9') => Integer,
            (Zero | Integer, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Integer | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
            (Zero | Integer | Fraction | ExponentDigits, _) => {
                // Only the byte after a number shows that the number has ended.
                self.end_value();
                return self.step_after_value(byte);
            }
            _ => return false,
        };
        true
    }

    fn step_after_value(&mut self, byte: u8) -> bool {
        if self.depth == 0 { is_space(byte) } else { self.after(byte) }
    }

    #[inline]
    fn end_value(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    fn open(&mut self, object: bool) -> bool {
        if self.depth == MAX_DEPTH {
            self.too_deep = true;
            return false;
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if word == self.objects.len() {
            self.objects.push(0);
        }
        if object {
            self.objects[word] |= bit;
            self.state = State::FirstKey;
        } else {
            self.objects[word] &= !bit;
            self.state = State::FirstElement;
        }
        self.in_object = object;
        self.depth += 1;
        true
    }

    fn close(&mut self) -> bool {
        self.depth -= 1;
        if let Some(outer) = self.depth.checked_sub(1) {
            self.in_object = self.objects[outer / 64] & (1 << (outer % 64)) != 0;
        }
        self.end_value();
        true
    }
}

/// Whether a byte is whitespace in JSON.
#[inline]
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
