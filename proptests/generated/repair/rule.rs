//! The rule by which records are found in a damaged line, written plainly, without regard to speed.

use std::ops::Range;

use turnlock::testing::Validator;

/// What is to be saved of a damaged line.
pub fn saved(line: &[u8], terminated: bool) -> Vec<Range<usize>> {
    let mut saved = Vec::new();
    let mut from = 0;
    // Of all candidates the one that begins first; then the same behind it.
    while let Some(record) = (from..line.len()).find_map(|at| record(line, from, at, terminated)) {
        from = record.end;
        saved.push(record);
    }
    saved
}

/// The record that begins at `at`, with the whitespace behind it, if there is one.
fn record(line: &[u8], from: usize, at: usize, terminated: bool) -> Option<Range<usize>> {
    let end = object_end(line, at)?;
    std::str::from_utf8(&line[at..end]).ok()?;
    let spaces = line[end..].iter().take_while(|byte| space(byte)).count();
    let record = at..end + spaces;
    let before = line[from..at].iter().rfind(|byte| !space(byte));
    let expected = before.is_none_or(|byte| *byte == 0);
    let empty = line[at + 1..end - 1].iter().all(space);
    let fits_behind = match line.get(record.end) {
        Some(byte) => !b",]}:".contains(byte),
        None => terminated || !(from..at).any(|outer| is_within(line, outer, at)),
    };
    (expected || (!empty && fits_behind)).then_some(record)
}

/// Where the object ends that begins at `at`.
fn object_end(line: &[u8], at: usize) -> Option<usize> {
    let mut json = Validator::new();
    if line[at] != b'{' {
        return None;
    }
    for (index, byte) in line.iter().enumerate().skip(at) {
        json.feed(&[*byte]).ok()?;
        if json.depth() == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// Whether the object at `outer` goes on to the end of the line, with the object at `at` nested in
/// it.
fn is_within(line: &[u8], outer: usize, at: usize) -> bool {
    let mut json = Validator::new();
    if line[outer] != b'{' || json.feed(&line[outer..at]).is_err() {
        return false;
    }
    let depth = json.depth();
    json.feed(b"{").is_ok()
        && json.depth() > depth
        && json.feed(&line[at + 1..]).is_ok()
        && json.depth() > 0
}

fn space(byte: &u8) -> bool {
    b" \t\r".contains(byte)
}
