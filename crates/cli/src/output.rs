//! Output of the command: answers go to standard output, remarks to standard error.

pub(crate) mod aside;

use std::io::{ErrorKind, Write};
use std::time::SystemTime;

use serde::Serialize;

use crate::failure::Failure;

/// Writes an answer. A closed pipe is no failure.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    answer_if_read(text).map(drop)
}

/// Writes an answer. Returns `false` if the pipe is closed.
pub(crate) fn answer_if_read(text: &str) -> Result<bool, Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::new(format!("cannot write the answer: {e}"))),
    }
}

/// Writes an answer as one line of JSON.
pub(crate) fn answer_json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    answer(&json(value)?)
}

/// An answer as one line of JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    let json = serde_json::to_string(value)
        .map_err(|e| Failure::new(format!("cannot write the answer: {e}")))?;
    // JSON may contain DEL and the control characters above 127 unescaped. A terminal obeys them.
    let safe = escaped(&json, |c| format!("\\u{:04x}", u32::from(c)));
    Ok(safe + "\n")
}

/// Writes a remark. If that fails, nothing is lost.
pub(crate) fn tell(remark: &str) {
    aside::write(format!("turnlock: {}\n", printable(remark)));
}

/// A time in the format of records. Empty for a time outside the calendar.
pub(crate) fn moment(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// Text from outside, file names above all, with control characters escaped for terminals.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |c| c.escape_unicode().to_string())
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe += &escape(c) } else { safe.push(c) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_gets_through() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{9b}c"), "a\\u{1b}[31m\\u{a}b\\u{9b}c");
        assert_eq!(printable("päth"), "päth");
    }
}
