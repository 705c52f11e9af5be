//! The lines of a stress run. The writer of a line and its number determine all its bytes, so the
//! checker needs no copies: it makes each line again, and compares.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One line in this many is long, like tool output and images.
const LONG_EVERY: u64 = 512;
const LONG: u64 = 300 * 1024;
const SHORT: std::ops::Range<u64> = 100..900;

/// A task of a child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Writer {
    pub(super) child: u32,
    pub(super) task: u32,
}

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.child, self.task)
    }
}

/// The identity of a line: its writer, and its number among the writer's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineId {
    pub(super) writer: Writer,
    pub(super) n: u64,
}

impl std::fmt::Display for LineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.writer, self.n)
    }
}

/// A line as it is given to the library.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    id: String,
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    text: String,
}

impl Line {
    pub(super) fn new(seed: u64, id: LineId) -> Self {
        Self { id: id.to_string(), kind: Cow::Borrowed("message"), text: text(seed, id) }
    }
}

/// A batch of lines of one writer.
pub(super) fn batch(seed: u64, writer: Writer, first: u64, count: u32) -> Vec<Line> {
    (first..first + u64::from(count)).map(|n| Line::new(seed, LineId { writer, n })).collect()
}

/// The bytes of the line in the file, including its newline.
pub(super) fn bytes(seed: u64, id: LineId) -> Vec<u8> {
    // Serializing three strings cannot fail.
    let mut bytes = serde_json::to_vec(&Line::new(seed, id)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

const HEAD: &[u8] = br#"{"id":""#;

/// The identity of a line, according to its first bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Head {
    Id(LineId),
    /// Too short to tell, but possibly the beginning of a line.
    Short,
    Other,
}

pub(super) fn head(line: &[u8]) -> Head {
    let Some(rest) = line.strip_prefix(HEAD) else {
        return if HEAD.starts_with(line) && !line.is_empty() { Head::Short } else { Head::Other };
    };
    let Some(end) = rest.iter().take(64).position(|&byte| byte == b'"') else {
        let begins =
            rest.len() < 64 && rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        return if begins { Head::Short } else { Head::Other };
    };
    let parse = || {
        let mut parts = std::str::from_utf8(&rest[..end]).ok()?.split('.');
        let writer =
            Writer { child: parts.next()?.parse().ok()?, task: parts.next()?.parse().ok()? };
        let id = LineId { writer, n: parts.next()?.parse().ok()? };
        parts.next().is_none().then_some(id)
    };
    parse().map_or(Head::Other, Head::Id)
}

/// Text of a realistic length, with characters that JSON has to escape.
fn text(seed: u64, id: LineId) -> String {
    let mut state =
        mix(seed ^ mix(u64::from(id.writer.child) << 32 | u64::from(id.writer.task)) ^ mix(!id.n));
    let long = state.is_multiple_of(LONG_EVERY);
    state = mix(state);
    let length = if long { LONG } else { SHORT.start + state % (SHORT.end - SHORT.start) };
    let mut text = String::from("\u{201e}na\u{ef}ve\u{201c} \"quoted\"\n");
    while (text.len() as u64) < length {
        state = mix(state);
        text.push_str(&format!("{state:016x} "));
    }
    text
}

/// One step of splitmix64.
pub(super) fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_who_wrote_it() {
        let id = LineId { writer: Writer { child: 12, task: 3 }, n: 456 };
        let bytes = bytes(7, id);
        assert_eq!(head(&bytes), Head::Id(id));
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
        assert_eq!(head(&bytes[..4]), Head::Short);
        assert_eq!(head(&bytes[..10]), Head::Short);
        for other in [&b""[..], b"x", b"{\"id\":\"1.2\"", b"{\"id\":\"1.2.3.4\"", b"{\"id\":\"a"] {
            assert_eq!(head(other), Head::Other);
        }
    }

    #[test]
    fn some_lines_are_long() {
        let writer = Writer { child: 1, task: 1 };
        let long = (0..3000).filter(|&n| bytes(1, LineId { writer, n }).len() > 100_000).count();
        assert!((1..30).contains(&long), "{long}");
    }
}
