//! A corpus of session files: every damage in every format and encoding, with the verdict that each
//! deserves. The verdicts are written here, damage by damage; nothing of them is computed by the
//! code under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use turnlock_testing::{ended, names};

use super::made::{doctor, found};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    OpenClaw,
    ClaudeCode,
    CopilotCli,
    Codex,
    Gemini,
    /// One that nobody knows.
    Other,
}

use Format::{ClaudeCode, Codex, CopilotCli, Gemini, OpenClaw, Other};

const FORMATS: [Format; 6] = [OpenClaw, ClaudeCode, CopilotCli, Codex, Gemini, Other];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Lf,
    Crlf,
    /// Characters of several bytes, escapes, and what looks like records in strings.
    Wide,
    /// A byte order mark first.
    Bom,
}

const ENCODINGS: [Encoding; 4] = [Encoding::Lf, Encoding::Crlf, Encoding::Wide, Encoding::Bom];

impl Encoding {
    fn newline(self) -> &'static str {
        if self == Self::Crlf { "\r\n" } else { "\n" }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Wide => r#"Grüße, 世界 🦀 \u00e9\ud83e\udd80 \"{\\\"type\\\":[\"} {\"a\":1}"#,
            _ => "one, two, three",
        }
    }
}

const ID: &str = "5f1c0d1e-0000-4000-8000-000000000001";
const TIME: &str = "2026-01-01T00:00:00.000Z";

impl Format {
    /// The first line: a header where the format has one.
    fn first(self) -> String {
        match self {
            OpenClaw => {
                json!({"type": "session", "version": 3, "id": ID, "timestamp": TIME, "cwd": "/w"})
            }
            CopilotCli => json!({
                "type": "session.start", "data": {"sessionId": ID, "version": 1}, "id": "h",
                "timestamp": TIME, "parentId": null,
            }),
            Codex => json!({
                "timestamp": TIME, "type": "session_meta",
                "payload": {"id": ID, "timestamp": TIME, "cwd": "/w", "originator": "codex"},
            }),
            Gemini => json!({
                "sessionId": ID, "projectHash": "abc123", "startTime": TIME, "lastUpdated": TIME,
            }),
            ClaudeCode => return self.record("h", None, "first"),
            Other => json!({"n": 0, "text": "first"}),
        }
        .to_string()
    }

    /// A record with this id below this parent. The text is in it as it is written.
    fn record(self, id: &str, parent: Option<&str>, text: &str) -> String {
        let record = match self {
            OpenClaw => json!({
                "type": "message", "id": id, "parentId": parent, "timestamp": TIME,
                "message": {"role": "user", "content": "TEXT"},
            }),
            ClaudeCode => json!({
                "parentUuid": parent, "type": "user", "uuid": id, "timestamp": TIME,
                "sessionId": "s", "message": {"role": "user", "content": "TEXT"},
            }),
            CopilotCli => json!({
                "type": "user.message", "data": {"content": "TEXT"}, "id": id, "timestamp": TIME,
                "parentId": parent,
            }),
            Codex => json!({
                "timestamp": TIME, "type": "response_item",
                "payload": {"type": "message", "role": "user", "content": "TEXT"},
            }),
            Gemini => json!({"id": id, "timestamp": TIME, "type": "gemini", "content": "TEXT"}),
            Other => json!({"n": 1, "text": "TEXT"}),
        };
        record.to_string().replace("TEXT", text)
    }

    /// Whether records name their parents.
    fn has_links(self) -> bool {
        matches!(self, OpenClaw | ClaudeCode | CopilotCli)
    }

    /// Whether a file without its first line is thrown away by its program.
    fn has_header(self) -> bool {
        matches!(self, OpenClaw | CopilotCli | Codex | Gemini)
    }
}

/// The lines of a sound file: the first, and three records, each the parent of the next.
struct Lines {
    format: Format,
    text: &'static str,
    nl: &'static str,
}

impl Lines {
    fn h(&self) -> String {
        self.format.first() + self.nl
    }

    fn a(&self) -> String {
        // OpenClaw's header is no parent.
        let parent = (self.format != OpenClaw).then_some("h");
        self.of("a", parent)
    }

    fn b(&self) -> String {
        self.of("b", Some("a"))
    }

    fn c(&self) -> String {
        self.of("c", Some("b"))
    }

    fn of(&self, id: &str, parent: Option<&str>) -> String {
        self.format.record(id, parent, self.text) + self.nl
    }

    /// A record that nobody names, cut in its text.
    fn cut(&self) -> String {
        let text = self.format.record("x", Some("a"), "some text that is cut");
        text[..text.find(" that is cut").unwrap()].to_owned()
    }
}

/// What is in a file, what a repair leaves of it, and what is wrong with it.
struct Cell {
    bytes: Vec<u8>,
    /// `None` where the header is at stake: what is first then is looked at separately.
    left: Option<Vec<u8>>,
    /// The kinds of the findings before a repair.
    before: Vec<&'static str>,
    /// Those that no repair removes.
    after: Vec<&'static str>,
}

impl Cell {
    /// A file that is damaged, and of which this is left.
    fn damaged(bytes: impl Into<Vec<u8>>, left: impl Into<Vec<u8>>) -> Self {
        let (bytes, left) = (bytes.into(), Some(left.into()));
        Self { bytes, left, before: vec!["damaged-transcript"], after: vec![] }
    }

    /// A file that stays as it is, with these findings.
    fn kept(bytes: impl Into<Vec<u8>>, findings: &[&'static str]) -> Self {
        let bytes = bytes.into();
        let (before, after) = (findings.to_vec(), findings.to_vec());
        Self { left: Some(bytes.clone()), bytes, before, after }
    }

    /// And this, if it is so.
    fn and(mut self, finding: &'static str, so: bool) -> Self {
        if so {
            self.before.push(finding);
            self.after.push(finding);
        }
        self
    }

    /// A header that is lost. A repair makes it again, or tells of it.
    fn headerless(mut self, so: bool) -> Self {
        if so {
            self.before.push("no-header");
            self.left = None;
        }
        self
    }
}

type Damage = (&'static str, fn(&Lines) -> Cell);

const DAMAGES: [Damage; 22] = [
    ("nothing is wrong", |l| Cell::kept(l.h() + &l.a() + &l.b() + &l.c(), &[])),
    ("blank lines", |l| Cell::kept(l.h() + l.nl + &l.a() + "  " + l.nl + &l.b(), &[])),
    ("a torn tail", |l| {
        let whole = l.h() + &l.a() + &l.b();
        Cell::damaged(whole.clone() + &l.cut(), whole)
    }),
    ("a torn line that nobody names", |l| {
        Cell::damaged(
            l.h() + &l.a() + &l.cut() + l.nl + &l.b() + &l.c(),
            l.h() + &l.a() + &l.b() + &l.c(),
        )
    }),
    ("a torn line that is a parent", |l| {
        let torn = &l.b()[..l.b().find("two").or(l.b().find("世")).unwrap()];
        Cell::damaged(l.h() + &l.a() + torn + l.nl + &l.c(), l.h() + &l.a() + &l.c())
            .and("broken-chain", l.format.has_links())
    }),
    ("a record behind a torn one", |l| {
        Cell::damaged(l.h() + &l.a() + &l.b() + &l.cut() + &l.c(), l.h() + &l.a() + &l.b() + &l.c())
    }),
    ("a missing newline", |l| {
        let a = l.a().trim_end().to_owned();
        Cell::damaged(l.h() + &a + &l.b() + &l.c(), l.h() + &a + "\n" + &l.b() + &l.c())
    }),
    ("no newline at the end", |l| {
        let c = l.c().trim_end().to_owned();
        Cell::damaged(l.h() + &l.a() + &l.b() + &c, l.h() + &l.a() + &l.b() + &c + "\n")
    }),
    ("NULs before a record", |l| {
        Cell::damaged(
            l.h() + &l.a() + &l.b() + &"\0".repeat(300) + &l.c(),
            l.h() + &l.a() + &l.b() + &l.c(),
        )
    }),
    ("a line of NULs", |l| {
        Cell::damaged(l.h() + &l.a() + &"\0".repeat(5000) + l.nl + &l.b(), l.h() + &l.a() + &l.b())
    }),
    ("NULs at the end", |l| Cell::damaged(l.h() + &l.a() + &"\0".repeat(4096), l.h() + &l.a())),
    ("invalid UTF-8", |l| {
        let bad = [l.cut().as_bytes(), b"\xff\"}}", l.nl.as_bytes()].concat();
        Cell::damaged(
            [(l.h() + &l.a()).as_bytes(), &bad, l.b().as_bytes()].concat(),
            l.h() + &l.a() + &l.b(),
        )
    }),
    ("what another program said", |l| {
        Cell::damaged(
            l.h() + &l.a() + "Killed: out of memory" + l.nl + &l.b(),
            l.h() + &l.a() + &l.b(),
        )
    }),
    ("NaN, as Python writes it", |l| {
        Cell::damaged(
            l.h() + &l.a() + r#"{"type":"message","n":NaN}"# + l.nl + &l.b(),
            l.h() + &l.a() + &l.b(),
        )
    }),
    ("undefined, as JavaScript says it", |l| {
        Cell::damaged(l.h() + &l.a() + "undefined" + l.nl + &l.b(), l.h() + &l.a() + &l.b())
    }),
    ("a torn first line", |l| {
        let torn = &l.h()[..if l.format == Other { 10 } else { 30 }];
        Cell::damaged(torn.to_owned() + l.nl + &l.a() + &l.b(), l.a() + &l.b())
            .headerless(l.format.has_header())
            .and("broken-chain", matches!(l.format, ClaudeCode | CopilotCli))
    }),
    ("no first line", |l| {
        Cell::kept(l.a() + &l.b() + &l.c(), &[])
            .headerless(l.format.has_header())
            .and("broken-chain", matches!(l.format, ClaudeCode | CopilotCli))
    }),
    ("null for a record", |l| {
        Cell::kept(l.h() + &l.a() + "null" + l.nl + &l.b(), &[])
            .and("not-a-record", l.format != Other)
    }),
    ("an array for a record", |l| {
        Cell::kept(l.h() + &l.a() + &l.b() + "[1,{\"a\":2}]" + l.nl, &[])
            .and("not-a-record", l.format != Other)
    }),
    ("an id that was there before", |l| {
        let again = l.format.record("b", Some("a"), "something else") + l.nl;
        Cell::kept(l.h() + &l.a() + &l.b() + &again, &[]).and("duplicate-id", l.format.has_links())
    }),
    ("records that come back to themselves", |l| {
        Cell::kept(l.h() + &l.of("a", Some("c")) + &l.b() + &l.c(), &[])
            .and("parent-cycle", l.format.has_links())
    }),
    ("a parent that is not there", |l| {
        Cell::kept(l.h() + &l.a() + &l.b() + &l.of("d", Some("lost")), &[])
            .and("broken-chain", l.format.has_links())
    }),
];

type Conversion = (&'static str, fn(&str) -> Vec<u8>);

/// What is no session file in any encoding, and stays as it is.
const NOT_UNDERSTOOD: [Conversion; 4] = [
    ("UTF-16 with a mark", |text| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect()
    }),
    ("UTF-16 without a mark", |text| text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ("an array of records", |text| {
        let lines: Vec<_> = text.lines().collect();
        format!("[\n{}\n]\n", lines.join(",\n")).into_bytes()
    }),
    ("printed for people", |text| {
        let pretty = |line| {
            let record: Value = serde_json::from_str(line).unwrap();
            serde_json::to_string_pretty(&record).unwrap() + "\n"
        };
        text.lines().map(pretty).collect::<String>().into_bytes()
    }),
];

/// The files of a directory by name, with what is expected of each.
type Cells = BTreeMap<String, Cell>;

fn cells(damage: fn(&Lines) -> Cell) -> Cells {
    let mut cells = Cells::new();
    for format in FORMATS {
        for encoding in ENCODINGS {
            let lines = Lines { format, text: encoding.text(), nl: encoding.newline() };
            let mut cell = damage(&lines);
            if encoding == Encoding::Bom {
                cell.bytes.splice(0..0, *b"\xef\xbb\xbf");
                if !cell.before.contains(&"damaged-transcript") {
                    cell.before.push("damaged-transcript");
                }
            }
            cells.insert(format!("{format:?}-{encoding:?}.jsonl"), cell);
        }
    }
    cells
}

fn not_understood(make: fn(&str) -> Vec<u8>) -> Cells {
    let cell = |format: Format| {
        let lines = Lines { format, text: "one, two, three", nl: "\n" };
        let text = lines.h() + &lines.a() + &lines.b() + &lines.c();
        (format!("{format:?}.jsonl"), Cell::kept(make(&text), &["not-understood"]))
    };
    FORMATS.into_iter().map(cell).collect()
}

/// The kinds of the findings that remain, or all of them, by the name of the file.
fn kinds(answer: &Value, all: bool) -> BTreeMap<String, Vec<String>> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    for finding in answer["findings"].as_array().unwrap() {
        let path = Path::new(finding["path"].as_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if all || finding["treatment"]["action"] != "done" {
            let kind = finding["problem"]["kind"].as_str().unwrap();
            kinds.entry(name).or_default().push(kind.to_owned());
        }
    }
    kinds.values_mut().for_each(|kinds| kinds.sort_unstable());
    kinds
}

fn expected(kinds: &[&'static str]) -> Vec<String> {
    let mut kinds: Vec<_> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    kinds.sort_unstable();
    kinds
}

/// Judges, repairs and undoes the files of one directory. Returns what went wrong.
fn tried(damage: &str, cells: &Cells) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (name, cell) in cells {
        fs::write(dir.path().join(name), &cell.bytes).unwrap();
    }
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let mut note = |name: &str, what: String| wrong.push(format!("{damage}, {name}: {what}"));

    let (answer, ended_as) = found(&[], dir.path());
    let any = cells.values().any(|cell| !cell.before.is_empty());
    assert_eq!(ended_as.code, Some(i32::from(any)), "{damage}");
    let told = kinds(&answer, true);
    for (name, cell) in cells {
        let (told, wanted) = (told.get(name).cloned().unwrap_or_default(), expected(&cell.before));
        if told != wanted {
            note(name, format!("told {told:?}, not {wanted:?}"));
        }
        assert!(read(name) == cell.bytes, "a look changes nothing: {damage}, {name}");
    }

    let (answer, ended_as) = found(&["--fix"], dir.path());
    let told = kinds(&answer, false);
    assert_eq!(ended_as.code, Some(i32::from(!told.is_empty())), "{damage}");
    for (name, cell) in cells {
        let mut told = told.get(name).cloned().unwrap_or_default();
        let mut wanted = expected(&cell.after);
        match &cell.left {
            Some(left) if read(name) != *left => {
                note(name, format!("left {:?}", String::from_utf8_lossy(&read(name))));
            }
            Some(_) => {}
            None if told.contains(&"no-header".to_owned()) => {
                // Nothing was made worse.
                if read(name) != cell.bytes {
                    note(name, "changed, though its header cannot be made".to_owned());
                }
                told.retain(|kind| kind != "no-header" && kind != "damaged-transcript");
            }
            None => {
                // A header was made, which may be a link that was missing.
                let text = String::from_utf8(read(name)).unwrap();
                let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
                let is_header = first["type"] == "session"
                    || first["type"] == "session_meta"
                    || first["type"] == "session.start"
                    || first.get("projectHash").is_some();
                if !is_header {
                    note(name, format!("begins with {first}"));
                }
            }
        }
        told.sort_unstable();
        wanted.sort_unstable();
        if told != wanted {
            note(name, format!("{told:?} remains, not {wanted:?}"));
        }
    }

    for (name, cell) in cells {
        if read(name) != cell.bytes {
            let undone = ended(doctor(&["--undo"], &dir.path().join(name)));
            if undone.code != Some(0) || read(name) != cell.bytes {
                note(name, format!("not undone: {undone:?}"));
            }
        }
    }
    let is_known = |name: &String| name.ends_with(".jsonl") || name.ends_with(".jsonl.damaged");
    assert!(names(dir.path()).iter().all(is_known), "{damage}");
    wrong
}

#[test]
fn every_damage_is_judged_repaired_and_undone_in_every_format_and_encoding() {
    let damaged = DAMAGES.iter().map(|(name, damage)| (*name, cells(*damage)));
    let others = NOT_UNDERSTOOD.iter().map(|(name, make)| (*name, not_understood(*make)));
    let corpus: Vec<_> = damaged.chain(others).collect();
    assert!(corpus.iter().map(|(_, cells)| cells.len()).sum::<usize>() >= 400);
    let wrong: Vec<_> = corpus.iter().flat_map(|(name, cells)| tried(name, cells)).collect();
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}
