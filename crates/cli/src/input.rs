//! JSON lines from standard input, all checked before any is used.

mod shape;

use std::io::Read;

use serde_json::value::RawValue;

use crate::failure::Failure;

/// All of standard input.
pub(crate) fn read() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => {
            Err(Failure::new(format!("cannot read standard input: {e}; nothing was written")))
        }
    }
}

/// The JSON values, one per line, byte for byte. Blank lines are skipped.
pub(crate) fn values(input: &[u8]) -> Result<Vec<&RawValue>, Failure> {
    let lines = input.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(index, line)| value(index + 1, line, input))
        .collect()
}

fn value<'a>(number: usize, line: &'a [u8], input: &[u8]) -> Result<&'a RawValue, Failure> {
    serde_json::from_slice(line).map_err(|e| {
        if let Some(cause) = shape::of(input) {
            return Failure::bad_data(format!(
                "line {number} is not JSON: {cause}; nothing was written"
            ));
        }
        let reason = e.to_string();
        let place = format!(" at line {} column {}", e.line(), e.column());
        let reason = reason.strip_suffix(&place).unwrap_or(&reason);
        Failure::bad_data(format!(
            "line {number} is not JSON: {reason} (column {}); nothing was written",
            e.column()
        ))
    })
}
