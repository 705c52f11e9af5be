//! The lines of one append, serialised before anything is touched.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::transcript::json::{MAX_DEPTH, Validator};

/// Whole lines, ready to be written. A newline before them seals a torn tail, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Batch(Vec<u8>);

impl Batch {
    /// Serialises every value to a line.
    pub(crate) fn of<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut bytes = vec![b'\n'];
        for (index, value) in values.into_iter().enumerate() {
            let start = bytes.len();
            let written = serde_json::to_writer(&mut bytes, &value);
            written.map_err(|e| Error::BadLine { line: index + 1, reason: e.to_string() })?;
            // Raw values keep their line breaks. These are outside strings, where a space means the
            // same.
            for byte in &mut bytes[start..] {
                if matches!(*byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            if is_too_deep(&bytes[start..]) {
                let reason = format!("it is nested deeper than {MAX_DEPTH} levels");
                return Err(Error::BadLine { line: index + 1, reason });
            }
            bytes.push(b'\n');
        }
        debug_assert!(bytes.ends_with(b"\n"), "an append is one write of whole lines (I9)");
        Ok(Self(bytes))
    }

    /// What is written: the lines, after a newline if there is a torn tail to seal.
    pub(crate) fn written(&self, sealed: bool) -> &[u8] {
        if sealed { &self.0 } else { self.bytes() }
    }

    /// The lines alone.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0[1..]
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
}
