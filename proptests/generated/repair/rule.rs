//! The rule by which records are found in a damaged line, written plainly, without regard to speed,
//! and without a limit.

use std::ops::Range;

use turnlock::testing::Validator;

/// An attempt to read an object.
struct Attempt {
    start: usize,
    /// Where the object ends, if it is whole.
    end: Option<usize>,
    /// The byte that cannot follow, or the end of the line.
    cut: usize,
    /// The opening braces that it reads as parts of strings.
    texts: Vec<usize>,
}

/// What is to be saved of a damaged line.
pub fn saved(line: &[u8]) -> Vec<Range<usize>> {
    let mut saved = Vec::new();
    let mut from = 0;
    while let Some(record) = next(line, from) {
        from = record.end;
        saved.push(record);
    }
    saved
}

/// The first record of the line from `from` on, where one is expected.
fn next(line: &[u8], from: usize) -> Option<Range<usize>> {
    let (mut at, mut cut_is_known) = (from, false);
    loop {
        let start = at + line[at..].iter().position(|byte| *byte == b'{')?;
        let before = line[from..start].iter().rfind(|byte| !space(byte)).copied();
        let known = before.is_none() || (start == at && cut_is_known);
        let mut attempt = attempt(line, start);
        let mut expected = before.is_none_or(|byte| byte == 0);
        // A record that was cut in a string.
        while let Some(heir) = heir(line, &attempt) {
            (attempt, expected) = (heir, false);
        }
        let before = line[from..attempt.start].iter().rfind(|byte| !space(byte)).copied();
        let Some(end) = attempt.end else {
            (at, cut_is_known) = (attempt.cut, known);
            continue;
        };
        let spaces = line[end..].iter().take_while(|byte| space(byte)).count();
        let behind = line.get(end + spaces);
        let nested = behind.is_some_and(|byte| b",]}:".contains(byte))
            || (!known && before.is_some_and(|byte| b"[,:".contains(&byte)));
        let empty = line[attempt.start + 1..end - 1].iter().all(space);
        let good = std::str::from_utf8(&line[attempt.start..end]).is_ok();
        if good && !nested && (expected || !empty) {
            return Some(attempt.start..end + spaces);
        }
        (at, cut_is_known) = (end, false);
    }
}

/// The attempt that began in a string of this one and is alive where this one was cut.
fn heir(line: &[u8], first: &Attempt) -> Option<Attempt> {
    if first.end.is_some() {
        return None;
    }
    let mut from = 0;
    for start in &first.texts {
        if *start < from {
            continue;
        }
        let second = attempt(line, *start);
        from = second.end.unwrap_or(second.cut);
        if from > first.cut {
            return Some(second);
        }
    }
    None
}

fn attempt(line: &[u8], start: usize) -> Attempt {
    let mut json = Validator::new();
    let mut made = Attempt { start, end: None, cut: line.len(), texts: Vec::new() };
    let (mut in_text, mut escaped) = (false, false);
    for (index, byte) in line.iter().enumerate().skip(start) {
        if json.feed(&[*byte]).is_err() {
            made.cut = index;
            break;
        }
        if json.depth() == 0 {
            made.end = Some(index + 1);
            break;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if in_text => made.texts.push(index),
            _ => {}
        }
    }
    made
}

fn space(byte: &u8) -> bool {
    b" \t\r".contains(byte)
}
