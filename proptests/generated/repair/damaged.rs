//! Makes damaged session files, and knows which records a repair has to save.

use proptest::prelude::*;
use proptest::sample::Index;
use turnlock::testing::Validator;

/// A session file.
#[derive(Clone)]
pub struct Made {
    pub bytes: Vec<u8>,
    /// What has to be there after a repair, in order. No two are alike.
    pub records: Vec<Vec<u8>>,
    /// How many records were made, whole or not.
    count: usize,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(4000)]);
        write!(f, "{text:?} ({} bytes, {} records)", self.bytes.len(), self.records.len())
    }
}

#[derive(Clone, Debug)]
enum Line {
    /// A record, with a carriage return or not.
    Record(String, bool),
    /// Some other JSON value.
    Value(String),
    Blank(String),
    Damaged(Vec<Piece>),
}

/// What a damaged line is made of.
#[derive(Clone, Debug)]
enum Piece {
    Record(String),
    Cut(String, Index),
    Nul(usize),
    Junk(String),
    /// A record that is whole but for its UTF-8.
    BadUtf8(String),
}

/// Several lines, each whole or damaged; the last one may lack its newline.
pub fn file() -> impl Strategy<Value = Made> {
    made(line(body(20)), 0..8)
}

/// The same with lines of up to 2 MB.
pub fn long_file() -> impl Strategy<Value = Made> {
    made(line(body(1_000_000)), 1..4)
}

/// Bytes that mean something to a scanner, in any order.
pub fn soup() -> impl Strategy<Value = Vec<u8>> {
    let tokens: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b",",
        b":",
        b"\n",
        b"\n",
        b"\r\n",
        b" ",
        b"\0",
        b"\0\0\0",
        b"1",
        b"-",
        b"0.5e3",
        b"true",
        b"null",
        b"\"a\"",
        b"{\"",
        b"\":",
        b"{}",
        b"{\"a\":1}",
        b"{\"b\":[1,{\"c\":\"d\"}]}",
        b":1}",
        b"[\"{\",\":1}\"]",
        b"{\"a\":[\"{\",\":1}\"]}",
        b"{\",\":\"",
        b"\xff",
        b"\xc3",
        b"\xa9",
        "é".as_bytes(),
        "𝄞".as_bytes(),
        b"\xf0\x9d",
        b"\\u00",
        b"\x1f",
        b"e",
    ];
    prop::collection::vec(prop::sample::select(tokens), 0..40).prop_map(|tokens| tokens.concat())
}

/// Lines on which objects begin inside the strings of others, again and again.
pub fn braces_in_strings() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "{",
        "\"k\":{\"{\":\":\",\"}\":\"x\",",
        "{\"a\":\"{",
        "\"{\":{\"",
        "{\"\":{\"}\":",
        "{\"text\":\"{\",",
        "{\",\":[\"{\",",
        "\":\",\"}",
        "{\":[\"{\",\":1}\",\"",
        "[\"{\",\":1}\"",
        "{\"text\":\"{\",\":\":\"}x\"}",
        "\"}",
        "{\"a\":1}",
        "\":1}",
        "\"}}",
        ",",
        ":",
        "]",
        " ",
    ];
    let times = (prop::sample::select(pieces), 1_usize..30);
    prop::collection::vec(times, 0..6).prop_map(|pieces| {
        pieces
            .into_iter()
            .map(|(piece, times)| piece.repeat(times))
            .collect::<String>()
            .into_bytes()
    })
}

/// Short damage beside short healthy lines, which costs a quarantine the most for what it keeps.
pub fn hostile_to_the_quarantine() -> impl Strategy<Value = Vec<u8>> {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
    let pieces: Vec<Vec<u8>> = vec![
        b"{}".into(),
        b"{}{}\n".into(),
        b"x\n".into(),
        b"x".into(),
        b"\xff\n".into(),
        b"\0".into(),
        b"1\n".into(),
        b"1\n1\n1\n".into(),
        b"\n".into(),
        b" ".into(),
        b"x{\"\":1}\n".into(),
        b"{\"\":1}x\n".into(),
        b"x{\"\":1}x{\"\":1}x\n".into(),
        long.into_bytes(),
        vec![b'x'; 1023],
        vec![b'x'; 1024],
        b"1\n".repeat(40),
    ];
    prop::collection::vec(prop::sample::select(pieces), 1..12).prop_map(|pieces| pieces.concat())
}

fn made(
    line: impl Strategy<Value = Line>,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Made> {
    (prop::collection::vec(line, count), any::<bool>()).prop_map(|(lines, ended)| {
        let mut made = Made { bytes: Vec::new(), records: Vec::new(), count: 0 };
        let last = lines.len().saturating_sub(1);
        for (index, line) in lines.into_iter().enumerate() {
            let ended = ended || index < last;
            made.line(line);
            if ended {
                made.bytes.push(b'\n');
            }
        }
        made
    })
}

impl Made {
    fn line(&mut self, line: Line) {
        match line {
            Line::Record(body, carriage_return) => {
                self.whole(body);
                self.bytes.extend(carriage_return.then_some(b'\r'));
            }
            Line::Value(value) => {
                let value = format!("[{},{value}]", self.next()).into_bytes();
                self.bytes.extend(&value);
                self.records.push(value);
            }
            Line::Blank(spaces) => self.bytes.extend(spaces.bytes()),
            Line::Damaged(pieces) => self.damaged(&pieces),
        }
    }

    fn next(&mut self) -> usize {
        self.count += 1;
        self.count
    }

    fn whole(&mut self, body: String) {
        let record = record(self.next(), &body);
        self.bytes.extend(&record);
        self.records.push(record);
    }

    fn damaged(&mut self, pieces: &[Piece]) {
        let start = self.bytes.len();
        for (index, piece) in pieces.iter().enumerate() {
            let number = self.next();
            let bytes = match piece {
                Piece::Record(body) => record(number, body),
                Piece::Cut(body, at) => {
                    let mut cut = record(number, body);
                    cut.truncate(1 + at.index(cut.len() - 1));
                    cut
                }
                Piece::Nul(count) => vec![0; *count],
                Piece::Junk(junk) => junk.clone().into_bytes(),
                Piece::BadUtf8(body) => {
                    let text = record(number, body);
                    [&text[..text.len() - 1], b",\"bad\":\"\xe2\x82\"}"].concat()
                }
            };
            let behind_damage = !matches!(
                index.checked_sub(1).map(|i| &pieces[i]),
                None | Some(Piece::Record(_) | Piece::Nul(_))
            );
            if matches!(piece, Piece::Record(_))
                && ends_apart(&pieces[index + 1..])
                && (!behind_damage || begins_apart(&self.bytes[start..], &bytes))
            {
                self.records.push(bytes.clone());
            }
            self.bytes.extend(&bytes);
        }
    }
}

/// Whether what follows a record does not look like the rest of a value that it is nested in.
fn ends_apart(behind: &[Piece]) -> bool {
    let junk = |piece: &Piece| match piece {
        Piece::Junk(junk) => Some(junk.trim_start_matches([' ', '\t', '\r']).to_owned()),
        _ => None,
    };
    // Junk may be blank.
    let next = behind.iter().map(junk).find(|junk| junk.as_deref() != Some(""));
    let next = next.flatten();
    next.is_none_or(|junk| !junk.starts_with([',', ']', '}', ':']))
}

/// Whether a whole record behind something damaged can be told from a value that is nested in it.
fn begins_apart(before: &[u8], record: &[u8]) -> bool {
    let last = before.iter().rfind(|byte| !b" \t\r".contains(byte));
    let nested = (0..before.len()).filter(|at| before[*at] == b'{').any(|at| {
        let mut json = Validator::new();
        json.feed(&before[at..]).is_ok() && json.feed(record).is_ok()
    });
    !nested && last.is_none_or(|last| !b"[,:".contains(last))
}

/// The key comes first in every record, as in real sessions: read from inside a string, it is not
/// JSON.
fn record(number: usize, body: &str) -> Vec<u8> {
    format!("{{\"id\":{number}{body}}}").into_bytes()
}

fn line(body: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Line> {
    let pieces = prop::collection::vec(piece(body.clone()), 1..5);
    prop_oneof![
        3 => (body, any::<bool>()).prop_map(|(body, cr)| Line::Record(body, cr)),
        1 => value().prop_map(Line::Value),
        1 => "[ \t\r]{0,3}".prop_map(Line::Blank),
        5 => pieces.prop_map(Line::Damaged),
    ]
}

fn piece(body: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => body.clone().prop_map(Piece::Record),
        4 => (body.clone(), any::<Index>()).prop_map(|(body, at)| Piece::Cut(body, at)),
        1 => prop_oneof![1_usize..5, 5_usize..5000].prop_map(Piece::Nul),
        1 => text().prop_map(|text| Piece::Junk(text.replace('\n', " "))),
        1 => body.prop_map(Piece::BadUtf8),
    ]
}

/// The fields of a record behind its first.
fn body(longest: usize) -> impl Strategy<Value = String> + Clone {
    let pad = prop_oneof![3 => Just(0), 1 => 0..longest];
    let fields = prop::collection::vec(("[a-z]{1,5}", value()), 0..4);
    (fields, pad, prop::sample::select(vec!["x", "é", "𝄞", "\\n", "{\\\"", "{", "\0"]))
        .prop_map(|(fields, pad, unit)| {
            let mut body: String =
                fields.iter().map(|(key, value)| format!(",\"{key}\": {value}")).collect();
            if pad > 0 && unit != "\0" {
                body += &format!(",\"pad\":\"{}\"", unit.repeat(pad));
            }
            body
        })
        .boxed()
}

/// Any JSON value. Keys are words; strings are not.
pub fn value() -> impl Strategy<Value = String> + Clone {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0.5e-7",
            "1e999",
            "{}",
            "[]",
            "\"\\ud800\""
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        text().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(("[a-z]{1,5}", inner), 1..4).prop_map(|all| {
                let all: Vec<_> =
                    all.iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
                format!("{{ {} }}", all.join(" , "))
            }),
        ]
    })
}

/// Text of all sorts, with a liking for what looks like JSON.
fn text() -> impl Strategy<Value = String> + Clone {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "{\"a\":1}",
        "{\"k\":7}",
        ":1}",
        "{\"",
        "\":",
        "é",
        "世界",
        "𝄞",
        "\n",
        "\u{0}",
        " ",
        "null",
        "fn main() {}",
        "0",
    ]);
    let tokens = prop::collection::vec(token, 0..8);
    prop_oneof![tokens.prop_map(|tokens| tokens.concat()), "\\PC{0,12}"]
}
