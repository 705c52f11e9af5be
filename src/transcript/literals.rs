//! Literals that other languages write and JSON does not have: `NaN`, `Infinity` and `-Infinity`,
//! as Python does, and `undefined`, as JavaScript does where a program builds its JSON by hand.

use super::damage::DamageKind;
use super::json::Validator;

/// Reads a line as JSON with these literals.
pub(super) struct Literals {
    json: Validator,
    /// The rest of the literal that is being read.
    rest: &'static [u8],
    found: Option<DamageKind>,
}

impl Literals {
    pub(super) fn new() -> Self {
        Self { json: Validator::new(), rest: b"", found: None }
    }

    /// Takes the next bytes. Returns false if they cannot follow.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.step(*byte))
    }

    fn step(&mut self, byte: u8) -> bool {
        if let [next, rest @ ..] = self.rest {
            self.rest = rest;
            // To the validator, it is a number.
            return byte == *next && (!rest.is_empty() || self.json.step(b'0'));
        }
        let (kind, rest): (_, &[u8]) = match byte {
            _ if !self.json.wants_value() => return self.json.step(byte),
            b'N' => (DamageKind::NotANumber, b"aN"),
            b'I' => (DamageKind::NotANumber, b"nfinity"),
            b'u' => (DamageKind::Undefined, b"ndefined"),
            _ => return self.json.step(byte),
        };
        (self.found, self.rest) = (self.found.or(Some(kind)), rest);
        true
    }

    /// The first of the literals, if what was read is a whole object or array but for them.
    pub(super) fn found(&self) -> Option<DamageKind> {
        self.found.filter(|_| self.json.is_done() && self.rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<DamageKind> {
        let mut literals = Literals::new();
        if literals.feed(line.as_bytes()) { literals.found() } else { None }
    }

    #[test]
    fn a_line_is_whole_but_for_a_literal() {
        use DamageKind::{NotANumber, Undefined};
        for (line, kind) in [
            (r#"{"a":NaN}"#, Some(NotANumber)),
            (r#"{"a":[1,-Infinity,Infinity ],"b":"NaN"}"#, Some(NotANumber)),
            (r#"{"a":undefined,"b":{}}"#, Some(Undefined)),
            (r#"[undefined]"#, Some(Undefined)),
            (r#"{"a":"NaN"}"#, None),
            (r#"{"a":NaN"#, None),
            (r#"{"a":Na}"#, None),
            (r#"{"a":1NaN}"#, None),
            (r#"{NaN:1}"#, None),
            (r#"{"a":nan}"#, None),
            ("undefined", None),
        ] {
            assert_eq!(found(line), kind, "{line}");
        }
    }
}
