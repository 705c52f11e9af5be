//! Whether every record of a file has a `type`. Then an object without one is a piece of a record.

use std::io;
use std::ops::Range;

use super::json::Validator;
use super::source::{ReadAt, read_some};
use crate::compat::format::Format;
use crate::compat::format::members::Outline;

/// So much of the front of the file is looked at, and of a record.
const FRONT: usize = 64 * 1024;
/// So many of its first records.
const RECORDS: usize = 16;

/// Whether the first whole objects of a file all have a `type`, and there is one.
pub(super) fn is_typed(source: &impl ReadAt) -> io::Result<bool> {
    let front = read(source, 0..FRONT as u64)?;
    let mut lines = front.split(|byte| *byte == b'\n').peekable();
    let (mut typed, mut json) = (0, Validator::new());
    while let Some(line) = lines.next() {
        // The last one may go on.
        if lines.peek().is_none() || typed == RECORDS {
            break;
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        // Its header has no type, also where it is in a damaged line.
        if Format::of_record(line) == Some(Format::GeminiCli) {
            return Ok(false);
        }
        json.reset();
        if line.trim_ascii_start().starts_with(b"{") && json.feed(line).is_ok() && json.is_whole() {
            if !Outline::of(line).has("type") {
                return Ok(false);
            }
            typed += 1;
        }
    }
    Ok(typed > 0)
}

/// Whether a record has a `type`. One that is very long counts as if it had.
pub(super) fn has_type(source: &impl ReadAt, record: Range<u64>) -> io::Result<bool> {
    let length = record.end - record.start;
    let bytes = read(source, record.start..record.end.min(record.start + FRONT as u64))?;
    Ok(length > FRONT as u64 || Outline::of(&bytes).has("type"))
}

fn read(source: &impl ReadAt, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match read_some(source, &mut bytes[filled..], range.start + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
