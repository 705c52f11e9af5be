//! Output of the command: answers go to standard output, remarks to standard error.

pub(crate) mod aside;
mod document;
pub(crate) mod terminal;

use std::io::{ErrorKind, Write};
use std::time::{Duration, SystemTime};

use crate::failure::Failure;
pub(crate) use document::*;

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

/// Writes a remark. If that fails, nothing is lost.
pub(crate) fn tell(remark: &str) {
    aside::write(format!("turnlock: {}\n", printable(remark)));
}

/// Writes a remark of several lines, which are printable.
pub(crate) fn tell_lines(remark: &str) {
    aside::write(format!("turnlock: {remark}\n"));
}

/// A time in the format of records. Empty for a time outside the calendar.
pub(crate) fn moment(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// An age in at most two units: `17s`, `2h3m`, `4d5h`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Text from outside, file names above all, with what a terminal would obey escaped.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |c| c.escape_unicode().to_string())
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) { safe += &escape(c) } else { safe.push(c) }
    }
    safe
}

/// Whether a character is not shown, but obeyed: control characters, those that change the
/// direction of the text or end a line (a name could look like another), and those that cannot be
/// seen.
/// Joiners (U+200C, U+200D) are part of words and emoji.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_gets_through() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{9b}c"), "a\\u{1b}[31m\\u{a}b\\u{9b}c");
        assert_eq!(printable("päth"), "päth");
    }

    #[test]
    fn nor_one_that_makes_a_name_look_like_another() {
        assert_eq!(printable("x\u{202e}gpj.exe"), "x\\u{202e}gpj.exe");
        for c in "\u{200b}\u{200f}\u{2028}\u{202a}\u{2066}\u{2069}\u{feff}\u{61c}\u{e0041}".chars()
        {
            assert_eq!(printable(&c.to_string()), c.escape_unicode().to_string());
        }
        assert_eq!(printable("👩\u{200d}🔬"), "👩\u{200d}🔬");
    }
}
