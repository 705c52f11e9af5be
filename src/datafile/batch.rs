//! The lines of one append, serialised before anything is touched.

use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::rules::Durability;
use crate::transcript::json::{MAX_DEPTH, Validator};

/// The lines of one append, serialised and checked once. They can be written several times, to
/// several sessions.
///
/// ```
/// use turnlock::{Batch, Durability};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// # let session = turnlock::Sessions::new().session(dir.path().join("4f2c.jsonl"))?;
/// let turn = session.turn().await?;
/// // A line that is JSON already, and may be lost with the power.
/// let line = Batch::json(br#"{"type": "progress", "percent": 40}"#)?;
/// turn.append_batch(&line.durability(Durability::Buffered)).await?;
/// # turn.release().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    /// A newline before the lines seals a torn tail, if there is one.
    bytes: Arc<[u8]>,
    durability: Option<Durability>,
}

impl Batch {
    /// Serialises every value to a line.
    ///
    /// # Errors
    /// [`Error::BadLine`] if a value cannot be serialised as JSON, or is nested too deeply.
    pub fn of<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut bytes = vec![b'\n'];
        for (index, value) in values.into_iter().enumerate() {
            let start = bytes.len();
            let written = serde_json::to_writer(&mut bytes, &value);
            written.map_err(|e| Error::BadLine { line: index + 1, reason: e.to_string() })?;
            // Raw values keep their line breaks.
            break_no_lines(&mut bytes[start..]);
            if is_too_deep(&bytes[start..]) {
                let reason = format!("it is nested deeper than {MAX_DEPTH} levels");
                return Err(Error::BadLine { line: index + 1, reason });
            }
            bytes.push(b'\n');
        }
        Ok(Self::ending(bytes))
    }

    /// Takes one line that is JSON already. It is written as it is, except that line breaks between
    /// its tokens become spaces.
    ///
    /// # Errors
    /// [`Error::BadLine`] if it is not one JSON value in UTF-8.
    pub fn json(line: &[u8]) -> Result<Self> {
        let bad = |reason: &str| Error::BadLine { line: 1, reason: reason.into() };
        let mut validator = Validator::new();
        if std::str::from_utf8(line).is_err() {
            return Err(bad("it is not UTF-8"));
        }
        if validator.feed(line).is_err() || !validator.is_whole() {
            return Err(bad("it is not one JSON value"));
        }
        let mut bytes = Vec::with_capacity(line.len() + 2);
        bytes.push(b'\n');
        bytes.extend_from_slice(line);
        break_no_lines(&mut bytes[1..]);
        bytes.push(b'\n');
        Ok(Self::ending(bytes))
    }

    fn ending(bytes: Vec<u8>) -> Self {
        debug_assert!(bytes.ends_with(b"\n"), "an append is one write of whole lines (I9)");
        Self { bytes: bytes.into(), durability: None }
    }

    /// Sets when the append of these lines counts as done, instead of the durability of the rules.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability: Some(durability), ..self }
    }

    pub(super) fn own_durability(&self) -> Option<Durability> {
        self.durability
    }

    /// What is written: the lines, after a newline if there is a torn tail to seal.
    pub(crate) fn written(&self, sealed: bool) -> &[u8] {
        if sealed { &self.bytes } else { self.bytes() }
    }

    /// The lines alone.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[1..]
    }
}

/// Turns line breaks into spaces. In JSON they are outside strings, where both mean the same.
fn break_no_lines(json: &mut [u8]) {
    for byte in json {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Whether a reader would take the line for damage because of its depth, and a repair remove it.
/// Each level takes two bytes, so that only very long lines need a look.
fn is_too_deep(line: &[u8]) -> bool {
    line.len() > 2 * MAX_DEPTH && Validator::new().feed(line).is_err()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::transcript::repair::survey;

    #[test]
    fn what_is_accepted_is_a_whole_line_for_a_repair_however_deep_it_is() {
        for (open, close, levels) in [("[", "]", 1), ("{\"a\":[", "]}", 2)] {
            for (depth, good) in [(MAX_DEPTH, true), (MAX_DEPTH + levels, false)] {
                let times = depth / levels;
                let text = format!("{}1{}", open.repeat(times), close.repeat(times));
                let batch = Batch::of([RawValue::from_string(text).unwrap()]);
                assert_eq!(batch.is_ok(), good, "{depth} levels");
                let Ok(batch) = batch else { continue };
                let survey = survey(&batch.bytes(), batch.bytes().len() as u64).unwrap();
                assert!(survey.is_healthy(), "{depth} levels");
            }
        }
    }

    #[test]
    fn a_line_that_is_json_is_taken_as_it_is() {
        for (line, written) in [
            (&b"{\"a\": 1e2, \"b\":\"\\u00e9\"}"[..], &b"{\"a\": 1e2, \"b\":\"\\u00e9\"}\n"[..]),
            (b" {\n\"a\":\r\n1}\n", b" { \"a\":  1} \n"),
            (b"null", b"null\n"),
        ] {
            assert_eq!(Batch::json(line).unwrap().bytes(), written);
        }
        for bad in [&b""[..], b" ", b"{}{}", b"{\"a\":1", b"{}\n{}", b"\"\xff\"", b"\xef\xbb\xbf{}"]
        {
            let refused = Batch::json(bad);
            assert!(matches!(refused, Err(Error::BadLine { line: 1, .. })), "{refused:?}");
        }
    }
}
