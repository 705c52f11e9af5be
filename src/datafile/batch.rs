//! What is to be appended, made ready before anything is touched.

use serde::Serialize;

use crate::error::{Error, Result};

/// Whole lines, ready to be written, behind one newline that seals a torn tail if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Batch(Vec<u8>);

impl Batch {
    /// Serialises every value before anything is touched.
    pub(crate) fn of<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut bytes = vec![b'\n'];
        for (index, value) in values.into_iter().enumerate() {
            let start = bytes.len();
            let written = serde_json::to_writer(&mut bytes, &value);
            written.map_err(|e| Error::BadLine { line: index + 1, reason: e.to_string() })?;
            // Raw values keep their own line breaks. Outside of strings, where alone they can stand, a blank is the same.
            for byte in &mut bytes[start..] {
                if matches!(*byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            bytes.push(b'\n');
        }
        Ok(Self(bytes))
    }

    /// The lines, behind a newline that seals a torn tail.
    pub(super) fn with_seal(&self) -> &[u8] {
        &self.0
    }

    /// The lines alone.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0[1..]
    }
}
