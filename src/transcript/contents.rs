//! What a file is that is no session file: compressed, in another encoding, or JSON that is not
//! one record to a line. A repair would empty it. It is left to its owner, with the command that
//! converts it.

use std::fmt;
use std::io;

use serde::Serialize;

use super::json::{Validator, is_space};
use super::parts::{self, Part};
use super::source::{ReadAt, Window, each_piece};
use crate::compat::format::Format;

/// So much of the front is looked at for what a file is.
const FRONT: u64 = 4096;
const CHUNK: usize = 256 * 1024;

/// What a file is that is not lines of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Contents {
    /// UTF-16, with a byte order mark.
    Utf16,
    /// UTF-16, little endian, without a byte order mark.
    Utf16Le,
    /// UTF-16, big endian, without a byte order mark.
    Utf16Be,
    /// UTF-32, with a byte order mark.
    Utf32,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by zstd.
    Zstd,
    /// Compressed by xz.
    Xz,
    /// Compressed by bzip2.
    Bzip2,
    /// A ZIP archive.
    Zip,
    /// An SQLite database.
    Sqlite,
    /// JSON with values over several lines each.
    PrettyJson,
    /// One JSON array.
    JsonArray,
    /// Text in another encoding than UTF-8.
    NotUtf8,
    /// Records that were cut, and no whole one.
    Torn,
    /// Something else: binary.
    Binary,
    /// Something else: text.
    Text,
}

impl Contents {
    /// The command that makes a session file of it, from its standard input to its standard output.
    fn filter(self) -> Option<&'static str> {
        Some(match self {
            Self::Utf16 => "iconv -f UTF-16 -t UTF-8",
            Self::Utf16Le => "iconv -f UTF-16LE -t UTF-8",
            Self::Utf16Be => "iconv -f UTF-16BE -t UTF-8",
            Self::Utf32 => "iconv -f UTF-32 -t UTF-8",
            Self::Gzip => "zcat",
            Self::Zstd => "zstd -dc",
            Self::Xz => "xz -dc",
            Self::Bzip2 => "bzip2 -dc",
            Self::PrettyJson => "jq -c .",
            // Records may have been appended to it.
            Self::JsonArray => "jq -c 'arrays[], objects'",
            Self::NotUtf8 => "iconv -f WINDOWS-1252 -t UTF-8",
            Self::Zip | Self::Sqlite | Self::Torn | Self::Binary | Self::Text => return None,
        })
    }

    /// What its owner can do, for a file of this name, which is written for a shell.
    pub(crate) fn remedy(self, file: &str) -> String {
        match self.filter() {
            Some(filter) => {
                format!("to convert it: {filter} < {file} > {file}.new && mv {file}.new {file}")
            }
            None => format!("if nobody needs it as a session: mv {file} {file}.old"),
        }
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Utf16 | Self::Utf16Le | Self::Utf16Be => "UTF-16 text",
            Self::Utf32 => "UTF-32 text",
            Self::Gzip => "compressed by gzip",
            Self::Zstd => "compressed by zstd",
            Self::Xz => "compressed by xz",
            Self::Bzip2 => "compressed by bzip2",
            Self::Zip => "a ZIP archive",
            Self::Sqlite => "an SQLite database",
            Self::PrettyJson => "JSON with values over several lines each",
            Self::JsonArray => "one JSON array",
            Self::NotUtf8 => "text in another encoding than UTF-8",
            Self::Torn => "nothing but records that were cut",
            Self::Binary => "binary data",
            Self::Text => "text that is not lines of JSON",
        })
    }
}

/// What a file is by its first bytes, if they tell.
pub(super) fn by_front(source: &impl ReadAt, length: u64) -> io::Result<Option<Contents>> {
    const MAGIC: [(&[u8], Contents); 9] = [
        (b"\xff\xfe\0\0", Contents::Utf32),
        (b"\0\0\xfe\xff", Contents::Utf32),
        (b"\xff\xfe", Contents::Utf16),
        (b"\xfe\xff", Contents::Utf16),
        (b"\x1f\x8b", Contents::Gzip),
        (b"\x28\xb5\x2f\xfd", Contents::Zstd),
        (b"\xfd7zXZ\0", Contents::Xz),
        (b"BZh", Contents::Bzip2),
        (b"PK\x03\x04", Contents::Zip),
    ];
    let front = front(source, length)?;
    let by_magic = MAGIC.iter().find(|(magic, _)| front.starts_with(magic)).map(|(_, it)| *it);
    let sqlite = front.starts_with(b"SQLite format 3\0").then_some(Contents::Sqlite);
    Ok(by_magic.or(sqlite).or_else(|| utf16(&front)))
}

fn front(source: &impl ReadAt, length: u64) -> io::Result<Vec<u8>> {
    let mut front = Vec::new();
    each_piece(source, &mut Window::new(FRONT as usize), 0..length.min(FRONT), |piece| {
        front.extend_from_slice(piece);
        Ok(true)
    })?;
    Ok(front)
}

/// Whether a file begins with an array of records, which may be on one line. Programs that read
/// lines discard what is in it.
pub(super) fn is_array_of_records(source: &impl ReadAt, length: u64) -> io::Result<bool> {
    let front = front(source, length)?;
    let front = front.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&front);
    let first = front.trim_ascii_start().strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    Ok(first.is_some_and(|record| Format::of_record(record).is_some()))
}

/// UTF-16 without a mark: `{` or `[` with a NUL beside it, and mostly such pairs.
fn utf16(front: &[u8]) -> Option<Contents> {
    let (kind, is_pair): (_, fn(&[u8]) -> bool) = match front {
        [b'{' | b'[' | b' ' | b'\r' | b'\n', 0, ..] => (Contents::Utf16Le, |pair| pair[1] == 0),
        [0, b'{' | b'[' | b' ' | b'\r' | b'\n', ..] => (Contents::Utf16Be, |pair| pair[0] == 0),
        _ => return None,
    };
    let pairs = front.chunks_exact(2);
    let count = pairs.len();
    let of_ascii = pairs.filter(|pair| is_pair(pair) && **pair != [0, 0]).count();
    (count >= 4 && of_ascii * 2 > count).then_some(kind)
}

/// What a file is whose values go over several lines, or that is one array. `None` unless they are
/// most of the file.
pub(super) fn by_values(source: &impl ReadAt, length: u64) -> io::Result<Option<Contents>> {
    let mut values = Values::default();
    let mut window = Window::new(CHUNK);
    while values.at < length {
        match parts::front(source, &mut window, values.at..length)? {
            Part::Bytes(bytes) => values.take_all(bytes),
            // None of them is part of a value.
            Part::Nuls { count, .. } => {
                values.take(0);
                values.at += count - 1;
            }
        }
    }
    Ok(values.verdict(length))
}

/// Reads the values of a file without regard to lines, and measures those over several.
struct Values {
    json: Validator,
    at: u64,
    state: State,
    /// The bytes of values over several lines.
    spread: u64,
    /// The first byte that is not whitespace.
    first: Option<u8>,
    /// The current line of the value that is being read. If it is whole by itself, it is a record,
    /// and the value is one that was cut before it.
    line: Validator,
    line_fits: bool,
    has_records: bool,
    in_other_line: bool,
}

#[derive(Clone, Copy)]
enum State {
    Between,
    /// In a value that began here, and whether it goes over several lines.
    In(u64, bool),
    /// In what is no JSON, up to the end of the line.
    Lost,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            json: Validator::new(),
            at: 0,
            state: State::Between,
            spread: 0,
            first: None,
            line: Validator::new(),
            line_fits: false,
            has_records: false,
            in_other_line: false,
        }
    }
}

impl Values {
    fn take_all(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            self.take(*byte);
            bytes = rest;
            if matches!(self.state, State::Lost) {
                let lost = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
                self.at += lost as u64;
                bytes = &bytes[lost..];
            }
        }
    }

    fn take(&mut self, byte: u8) {
        match self.state {
            State::Between if is_space(byte) => {}
            State::Between => self.begin(byte),
            State::In(start, spread) => self.go_on(byte, start, spread),
            State::Lost if byte == b'\n' => self.state = State::Between,
            State::Lost => {}
        }
        self.at += 1;
    }

    fn begin(&mut self, byte: u8) {
        self.first = self.first.or(Some(byte));
        self.json.reset();
        (self.line_fits, self.has_records, self.in_other_line) = (false, false, false);
        let is_container = matches!(byte, b'{' | b'[') && self.json.step(byte);
        self.state = if is_container { State::In(self.at, false) } else { State::Lost };
    }

    fn go_on(&mut self, byte: u8, start: u64, spread: bool) {
        if !self.json.step(byte) {
            self.state = if byte == b'\n' { State::Between } else { State::Lost };
            return;
        }
        if byte == b'\n' {
            self.has_records |= self.line_is_whole();
            self.line.reset();
            (self.line_fits, self.in_other_line) = (true, true);
        } else {
            self.line_fits = self.line_fits && self.line.step(byte);
        }
        let spread = spread || self.in_other_line && !is_space(byte);
        self.state = State::In(start, spread);
        if self.json.is_done() {
            self.spread += if spread { self.at + 1 - start } else { 0 };
            self.state = State::Between;
        }
    }

    fn line_is_whole(&self) -> bool {
        self.line_fits && self.line.is_done()
    }

    /// What the file is, of this length, if values over several lines are most of it.
    fn verdict(mut self, length: u64) -> Option<Contents> {
        if let State::In(start, true) = self.state
            && !self.has_records
            && !self.line_is_whole()
        {
            // The file was cut within it.
            self.spread += length.saturating_sub(start);
        }
        let array = self.first == Some(b'[');
        let kind = if array { Contents::JsonArray } else { Contents::PrettyJson };
        (self.spread > length / 2).then_some(kind)
    }
}

/// What a file is that is nothing of the above, by its front.
pub(super) fn by_text(source: &impl ReadAt, length: u64) -> io::Result<Contents> {
    let front = front(source, length)?;
    let is_control = |byte: &u8| *byte < 0x20 && !is_space(*byte) && *byte != 0x1b;
    let controls = front.iter().filter(|byte| is_control(byte)).count();
    let cut_at_end = |error: &std::str::Utf8Error| error.error_len().is_none();
    let text = std::str::from_utf8(&front);
    Ok(match text {
        _ if controls * 50 > front.len() => Contents::Binary,
        Err(error) if !cut_at_end(&error) => Contents::NotUtf8,
        _ => Contents::Text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: impl AsRef<[u8]>) -> Option<Contents> {
        let file = file.as_ref();
        let (source, length) = (&file, file.len() as u64);
        let front = by_front(source, length).unwrap();
        front.or_else(|| by_values(source, length).unwrap())
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn what_is_plainly_something_else_is_recognised() {
        use Contents::*;
        let lines = "{\"type\":\"session\",\"id\":\"s\"}\r\n{\"text\":\"Grüße, 世界\"}\r\n";
        assert_eq!(found(utf16(&format!("\u{feff}{lines}"), u16::to_le_bytes)), Some(Utf16));
        assert_eq!(found(utf16(&format!("\u{feff}{lines}"), u16::to_be_bytes)), Some(Utf16));
        assert_eq!(found(utf16(lines, u16::to_le_bytes)), Some(Utf16Le));
        assert_eq!(found(utf16(lines, u16::to_be_bytes)), Some(Utf16Be));
        assert_eq!(found(b"\x1f\x8b\x08\0"), Some(Gzip));
        for newline in ["\n", "\r\n"] {
            for (pretty, kind) in [
                ("{\n  \"a\": 1,\n  \"b\": [\n    2\n  ]\n}\n", PrettyJson),
                ("{\n  \"a\": 1\n}\n{\n  \"b\": {}\n}\n", PrettyJson),
                ("[\n{\"a\":1},\n{\"b\":2}\n]\n", JsonArray),
                ("[\n  {\n    \"a\": 1\n  }\n]", JsonArray),
                // Cut.
                ("{\n  \"a\": 1,\n  \"b\": \"c", PrettyJson),
                ("[\n{\"a\":1},\n{\"b\":2},\n{\"c\"", JsonArray),
            ] {
                let pretty = pretty.replace('\n', newline);
                assert_eq!(found(&pretty), Some(kind), "{pretty}");
            }
        }
    }

    #[test]
    fn records_that_were_cut_are_not_taken_for_values_over_several_lines() {
        let record = "{\"type\":\"message\",\"id\":\"a\",\"message\":{\"content\":[1,\"two\"]}}";
        for cut in 1..record.len() {
            for glued in ["\n", "\r\n", ""] {
                let file = format!("{}{glued}{record}\n{record}\n", &record[..cut]);
                assert_eq!(found(&file), None, "{file}");
                let file = format!("{}{glued}{record}\n", &record[..cut]);
                assert_eq!(found(&file), None, "{file}");
            }
        }
        assert_eq!(found("hello\nworld\n"), None);
        assert_eq!(found("[1,2]\n{}\n"), None);
        assert_eq!(found("\0\0\0\0{\"a\":1}\n"), None);
    }
}
