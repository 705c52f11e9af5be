//! Records with raw newlines, or other raw control characters, in their strings. A program that
//! does not escape them splits its record over several lines.
//!
//! A line may be the first of such a record if it ends inside a string of an object that it begins.
//! The string goes on in the next lines, and the record counts if it becomes whole at the end of
//! one. What is in between is text, also where a line of it looks like JSON. A record that was cut
//! in a string is not taken for one: the quote of the next record ends the string, and what follows
//! the quote cannot follow a string.
//!
//! A search ends at the first byte that cannot follow. No line before the one with this byte begins
//! another search, so every line is read three times at most.

use std::io;

use super::json::Validator;
use super::source::{ReadAt, read_some};
use super::utf8::Utf8;

/// What was found where a line may begin a record of several lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The record ends here. A newline follows or not, and this many are in it.
    Record { end: u64, terminated: bool, newlines: u64 },
    /// It is none. No line before this offset begins one.
    Nothing { until: u64 },
}

/// A search in progress.
struct Search {
    json: Validator,
    utf8: Utf8,
    at: u64,
    newlines: u64,
    /// Where the current line begins.
    line: u64,
}

/// Looks for a record from `start` on, where a line begins. `end` counts as the end of the file.
pub(super) fn find(source: &impl ReadAt, start: u64, end: u64, chunk: usize) -> io::Result<Found> {
    let (json, utf8) = (Validator::new(), Utf8::default());
    let mut search = Search { json, utf8, at: start, newlines: 0, line: start };
    let mut buffer = vec![0; chunk];
    loop {
        let wanted = usize::try_from(end.saturating_sub(search.at)).unwrap_or(chunk).min(chunk);
        let read = read_some(source, &mut buffer[..wanted], search.at)?;
        if read == 0 {
            return Ok(search.end());
        }
        if let Some(found) = search.take_all(&buffer[..read]) {
            return Ok(found);
        }
    }
}

impl Search {
    fn take_all(&mut self, bytes: &[u8]) -> Option<Found> {
        let (mut json_at, mut found) = (0, None);
        while json_at < bytes.len() && found.is_none() {
            found = self.take(bytes[json_at]);
            json_at += 1;
        }
        let is_text = self.utf8.feed(&bytes[..json_at]);
        let at_end = |found: &Found| matches!(found, Found::Record { .. });
        if !is_text || found.as_ref().is_some_and(at_end) && !self.utf8.is_whole() {
            return Some(self.nothing());
        }
        found
    }

    fn take(&mut self, byte: u8) -> Option<Found> {
        if byte == b'\n' && self.json.is_done() {
            let Self { at: end, newlines, .. } = *self;
            return Some(Found::Record { end, terminated: true, newlines });
        }
        let is_raw = byte < 0x20 && byte != 0 && self.json.in_plain_text();
        if !is_raw && !self.json.step(byte) {
            return Some(self.nothing());
        }
        self.at += 1;
        if byte == b'\n' {
            self.newlines += 1;
            self.line = self.at;
        }
        None
    }

    fn nothing(&self) -> Found {
        Found::Nothing { until: self.line }
    }

    fn end(&self) -> Found {
        if self.json.is_done() && self.utf8.is_whole() {
            return Found::Record { end: self.at, terminated: false, newlines: self.newlines };
        }
        Found::Nothing { until: self.at }
    }
}

/// Makes one line of a record of several lines, as its bytes arrive.
#[derive(Default)]
pub(super) struct Joiner {
    in_text: bool,
    escaped: bool,
}

impl Joiner {
    pub(super) fn join(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut line = Vec::with_capacity(bytes.len() + 16);
        for byte in bytes {
            self.take(*byte, &mut line);
        }
        line
    }

    fn take(&mut self, byte: u8, line: &mut Vec<u8>) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'"' => self.in_text = !self.in_text,
            b'\\' => self.escaped = self.in_text,
            ..0x20 if self.in_text => return escape(byte, line),
            // Between values, it is whitespace.
            b'\n' => return line.push(b' '),
            _ => {}
        }
        line.push(byte);
    }
}

fn escape(byte: u8, line: &mut Vec<u8>) {
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        _ => return line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    };
    line.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str) -> Found {
        let found = find(&file.as_bytes(), 0, u64::MAX, 1 << 16).unwrap();
        for chunk in [1, 2, 7] {
            assert_eq!(find(&file.as_bytes(), 0, u64::MAX, chunk).unwrap(), found);
        }
        found
    }

    #[test]
    fn a_record_goes_on_in_the_next_lines_and_is_joined() {
        for (record, newlines, joined) in [
            ("{\"a\":\"one\ntwo\nthree\"}", 2, r#"{"a":"one\ntwo\nthree"}"#),
            ("{\"a\":\"one\r\n{}\r\n\r\n7\"}", 3, r#"{"a":"one\r\n{}\r\n\r\n7"}"#),
            ("{\"a\":\"\t\u{1}\",\n\"b\":[\n1]}", 2, "{\"a\":\"\\t\\u0001\", \"b\":[ 1]}"),
            ("{\"a\":\"\\\\\n\\\"\né\"} ", 2, r#"{"a":"\\\n\"\né"} "#),
        ] {
            let end = record.len() as u64;
            for (behind, terminated) in [("", false), ("\n", true), ("\n{\"b\":1}\n", true)] {
                let there = found(&format!("{record}{behind}"));
                assert_eq!(there, Found::Record { end, terminated, newlines });
            }
            let made = Joiner::default().join(record.as_bytes());
            assert_eq!(String::from_utf8(made).unwrap(), joined);
            serde_json::from_str::<serde_json::Value>(joined).unwrap();
        }
    }

    #[test]
    fn a_record_that_was_cut_in_a_string_is_none() {
        let cut = "{\"a\":\"one\n";
        for (behind, until) in [
            ("{\"b\":2}\n", 10),
            ("\n7\n{\"b\":2}\n", 13),
            ("two\"}x\n", 10),
            ("two\" three\n", 10),
            ("two", 13),
            ("two\0\"}", 10),
            ("\"}{\"b\":2}\n", 10),
        ] {
            assert_eq!(found(&format!("{cut}{behind}")), Found::Nothing { until }, "{behind}");
        }
    }
}
