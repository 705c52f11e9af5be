//! The lines of one append, serialised before anything is touched.

use serde::Serialize;

use crate::error::{Error, Result};

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
