//! What the command says, and where: answers on standard output, remarks on standard error.

use std::io::{ErrorKind, Write};
use std::time::SystemTime;

use serde::Serialize;

use crate::failure::Failure;

/// Writes an answer. That nobody reads it any more is no failure.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    answer_if_read(text).map(drop)
}

/// Writes an answer; `false` if nobody reads any more.
pub(crate) fn answer_if_read(text: &str) -> Result<bool, Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::new(format!("cannot write the answer: {e}"))),
    }
}

/// Writes an answer for machines: one line of JSON.
pub(crate) fn answer_json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    answer(&json(value)?)
}

/// An answer for machines: one line of JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    let json = serde_json::to_string(value)
        .map_err(|e| Failure::new(format!("cannot write the answer: {e}")))?;
    // JSON may hold DEL and the control characters beyond 127 as they are; a terminal would obey them.
    let safe = escaped(&json, |c| format!("\\u{:04x}", u32::from(c)));
    Ok(safe + "\n")
}

/// Says something to whoever watches; if nobody can hear it, nothing is lost.
pub(crate) fn tell(remark: &str) {
    let _ = writeln!(anstream::stderr().lock(), "turnlock: {}", printable(remark));
}

/// A time as records have it; one that no calendar has is not told.
pub(crate) fn moment(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// Text from outside (names of files above all), fit for a terminal.
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
