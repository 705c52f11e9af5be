//! What was not understood is never emptied: it is named, and the command that converts it works.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use turnlock_testing::{ended, room};

use super::made::{doctor, found};

const LINES: &str = concat!(
    r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00Z","cwd":"/"}"#,
    "\n",
    r#"{"type":"message","id":"a","parentId":null,"message":{"content":"Grüße, 世界"}}"#,
    "\n",
    r#"{"type":"message","id":"b","parentId":"a","message":{"content":["one",{"b":2}]}}"#,
    "\n",
);

/// What a filter makes of the lines.
fn through(filter: &str) -> Vec<u8> {
    piped(filter, LINES.as_bytes())
}

fn piped(filter: &str, input: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input");
    fs::write(&path, input).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", filter]).stdin(fs::File::open(path).unwrap()).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{filter}");
    output.stdout
}

fn crlf(bytes: Vec<u8>) -> Vec<u8> {
    String::from_utf8(bytes).unwrap().replace('\n', "\r\n").into_bytes()
}

/// The file is left alone, whatever is asked for. Returns what is said of it.
#[track_caller]
fn left_alone(path: &Path, bytes: &[u8]) -> String {
    let look = ended(doctor(&[], path));
    assert_eq!(look.code, Some(1), "{look:?}");
    let fixed = ended(doctor(&["--fix"], path));
    assert_eq!(fixed.code, Some(1), "{fixed:?}");
    assert!(fs::read(path).unwrap() == bytes, "it was changed");
    let names = turnlock_testing::names(path.parent().unwrap());
    assert_eq!(names.len(), 1, "{names:?}");
    fixed.out
}

#[test]
fn a_file_that_is_plainly_something_else_is_named_and_the_remedy_works() {
    let bom = |bytes: Vec<u8>| [b"\xff\xfe".to_vec(), bytes].concat();
    let pretty = || through("jq .");
    for (what, bytes) in [
        ("UTF-16", bom(through("iconv -t UTF-16LE"))),
        ("UTF-16", [b"\xfe\xff".to_vec(), through("iconv -t UTF-16BE")].concat()),
        ("UTF-16", through("iconv -t UTF-16LE")),
        ("UTF-16", through("iconv -t UTF-16BE")),
        ("UTF-16", bom(piped("iconv -t UTF-16LE", &crlf(LINES.into())))),
        ("UTF-32", [b"\xff\xfe\0\0".to_vec(), through("iconv -t UTF-32LE")].concat()),
        ("gzip", through("gzip -c")),
        ("zstd", through("zstd -qc")),
        ("xz", through("xz -c")),
        ("bzip2", through("bzip2 -c")),
        ("several lines", pretty()),
        ("several lines", crlf(pretty())),
        ("JSON array", through("jq -s .")),
        ("JSON array", crlf(through("jq -s ."))),
        ("JSON array", through("jq -sc . | sed 's/},{\"type/},\\n{\"type/g'")),
        ("JSON array", through("jq -sc .")),
        ("JSON array", through("jq -sc . | tr -d '\\n'")),
        ("JSON array", through("(head -n 2 | jq -sc .; tail -n 1)")),
        ("JSON array", [b"\xef\xbb\xbf\n ".to_vec(), through("jq -sc .")].concat()),
        ("JSON array", through("jq -sc '[., .[:0]]|.[0]' | sed 's/,{/, {/g'")),
    ] {
        let room = room();
        fs::write(&room.session, &bytes).unwrap();
        let said = left_alone(&room.session, &bytes);
        assert!(said.contains("not a session file: ") && said.contains(what), "{what}: {said}");
        // An append makes it no better.
        let (_, command) = said.split_once("to convert it: ").unwrap();
        let (command, _) =
            command.split_once(']').map_or((command, ""), |_| command.rsplit_once(']').unwrap());
        let mut follow = Command::new("sh");
        follow.args(["-c", command]);
        let followed = ended(follow);
        assert_eq!(followed.code, Some(0), "{followed:?} {command}");
        let text = room.text().replace('\r', "");
        let records = |text: &str| -> Vec<serde_json::Value> {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        assert_eq!(records(&text), records(LINES), "{what}");
        assert_eq!(found(&[], &room.session).1.code, Some(0));
    }
}

#[test]
fn arrays_that_are_no_records_of_a_program_are_as_good_as_other_lines() {
    for text in ["[1,2]\n", "[{\"a\":1},{\"b\":2}]\n", "[]\n[[]]\n", "[\"{\"]\n"] {
        let room = room();
        fs::write(&room.session, text).unwrap();
        assert_eq!(found(&[], &room.session).1.code, Some(0), "{text}");
    }
}

#[test]
fn after_an_append_it_is_still_left_alone() {
    for bytes in [
        through("gzip -c"),
        [b"\xff\xfe".to_vec(), through("iconv -t UTF-16LE")].concat(),
        through("jq ."),
        through("jq -sc ."),
    ] {
        let room = room();
        fs::write(&room.session, &bytes).unwrap();
        let mut post = crate::program::turnlock(["post"]);
        post.arg(&room.session);
        assert_eq!(turnlock_testing::fed(post, "{\"b\":2}").code, Some(0));
        let bytes = fs::read(&room.session).unwrap();
        left_alone(&room.session, &bytes);
    }
}

#[test]
fn nothing_is_emptied_and_little_is_not_left() {
    let hello = "hello\nworld\n".repeat(20);
    let log = "2026-01-01 12:00:00 INFO it goes on\n".repeat(20);
    let python = "{'type': 'message', 'id': 'a'}\n".repeat(20);
    let latin = |text: &str| -> Vec<u8> { text.chars().map(|c| c as u8).collect() };
    let line = "{\"type\":\"message\",\"text\":\"Grüße\"}\n";
    for (what, bytes) in [
        ("text", hello.clone().into_bytes()),
        ("text", log.into_bytes()),
        ("text", python.into_bytes()),
        ("text", format!("{{\"a\":1}}\n{hello}").into_bytes()),
        ("text", format!("{hello}{{\"a\":1}}\n").into_bytes()),
        ("text", "<html>\n<body>\n".repeat(9).into_bytes()),
        ("another encoding", latin(&line.repeat(9))),
        ("another encoding", latin(&format!("{{\"type\":\"session\"}}\n{}", line.repeat(9)))),
        ("binary", (0..=255).cycle().take(5000).collect()),
        ("binary", fs::read("/bin/true").unwrap()[..8192].to_vec()),
        ("cut", b"{\"type\":\"message\",\"id\":\"a\",\"mess".to_vec()),
        ("cut", b"{\"type\":\"message\",\"id\":\"a\",\"mess\n".to_vec()),
    ] {
        let room = room();
        fs::write(&room.session, &bytes).unwrap();
        let said = left_alone(&room.session, &bytes);
        assert!(said.contains("not a session file: ") && said.contains(what), "{what}: {said}");
    }
}

/// What a crash leaves is understood: NULs, and a record that was cut, however long it is.
#[test]
fn what_a_crash_leaves_is_still_repaired() {
    let torn = format!("{{\"type\":\"message\",\"text\":\"{}", "x".repeat(100_000));
    for (bytes, left) in [
        (format!("{{\"a\":1}}\n{torn}"), "{\"a\":1}\n"),
        (format!("{{\"a\":1}}\n{torn}\n{torn}\n{torn}"), "{\"a\":1}\n"),
        (format!("{{\"a\":1}}\n{}{{\"b\":2}}\n", "\0".repeat(100_000)), "{\"a\":1}\n{\"b\":2}\n"),
        (format!("{torn}{{\"b\":2}}\n"), "{\"b\":2}\n"),
        ("\0".repeat(5000), ""),
    ] {
        let room = room();
        fs::write(&room.session, &bytes).unwrap();
        let fixed = ended(doctor(&["--fix"], &room.session));
        assert_eq!(fixed.code, Some(0), "{fixed:?}");
        assert_eq!(room.text(), left);
        assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
        assert_eq!(room.text(), bytes);
    }
}
