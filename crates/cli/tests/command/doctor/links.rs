//! The links between records, as the doctor tells of them, and findings that were accepted.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use turnlock_testing::{ended, room};

use super::made::{doctor, found};

const HEADER: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"","cwd":"/"}"#;
const A: &str = r#"{"type":"message","id":"a","parentId":null}"#;

fn write(path: &Path, lines: &[&str]) {
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// The findings, without their paths and treatments.
fn problems(answer: &Value) -> Vec<Value> {
    answer["findings"].as_array().unwrap().iter().map(|it| it["problem"].clone()).collect()
}

fn claude(id: &str, parent: &str, session: &str, role: &str, content: &str) -> String {
    format!(
        "{{\"parentUuid\":{parent},\"type\":\"{role}\",\"uuid\":\"{id}\",\
         \"sessionId\":\"{session}\",\"message\":{{\"content\":{content}}}}}"
    )
}

#[test]
fn odd_links_are_told_with_their_lines() {
    let room = room();
    let first = claude("a", "null", "s", "user", "\"x\"");
    let call = claude("a", "null", "s", "assistant", r#"[{"type":"tool_use","id":"t1"}]"#);
    let child = |parent: &str, session: &str| claude("b", parent, session, "user", "\"x\"");
    let in_a_circle = [
        r#"{"type":"message","id":"a","parentId":"b"}"#,
        r#"{"type":"message","id":"b","parentId":"a"}"#,
    ];
    for (lines, expected) in [
        (
            vec![HEADER, A, A],
            json!({"kind": "duplicate-id", "count": 1, "first": "a", "firstLine": 3,
                   "repeated": 1}),
        ),
        (
            vec![HEADER, in_a_circle[0], in_a_circle[1]],
            json!({"kind": "parent-cycle", "count": 1, "first": "a", "firstLine": 2}),
        ),
        (
            vec![HEADER, A, "null", "[1]"],
            json!({"kind": "not-a-record", "count": 2, "first": "null", "firstLine": 3}),
        ),
        (
            vec![&first, &child("\"lost\"", "s")],
            json!({"kind": "broken-chain", "orphans": 1, "first": "b", "firstLine": 2,
                   "missing": "lost"}),
        ),
        (
            vec![&first, &child("\"a\"", "t")],
            json!({"kind": "mixed-sessions", "count": 1, "first": "t", "firstLine": 2}),
        ),
        (
            vec![&call, &child("\"a\"", "s")],
            json!({"kind": "tool-without-result", "count": 1, "first": "t1", "firstLine": 1}),
        ),
    ] {
        write(&room.session, &lines);
        let before = room.text();
        let (answer, ended_as) = found(&["--fix"], &room.session);
        assert_eq!((problems(&answer), ended_as.code), (vec![expected], Some(1)), "{answer}");
        assert_eq!(room.text(), before);
    }
}

#[test]
fn one_odd_record_does_not_end_the_check() {
    let room = room();
    let text = "x".repeat(5 << 20);
    let long = format!(r#"{{"type":"message","id":"l","parentId":"a","text":"{text}"}}"#);
    let lost = r#"{"type":"message","id":"b","parentId":"lost"}"#;
    for odd in [r#"{"id":5,"parentId":"a"}"#, r#"{"id":"\ud800","id":"\ud800"}"#, &long] {
        write(&room.session, &[HEADER, A, odd, lost]);
        let (answer, _) = found(&[], &room.session);
        let expected = json!({"kind": "broken-chain", "orphans": 1, "first": "b", "firstLine": 4,
                              "missing": "lost"});
        assert_eq!(problems(&answer), [expected], "{}", &odd[..20]);
    }
    write(&room.session, &[HEADER, A, &long, r#"{"type":"message","id":"b","parentId":"l"}"#]);
    assert_eq!(ended(doctor(&[], &room.session)).code, Some(0));
}

#[test]
fn what_was_accepted_does_not_remain_until_there_is_more_of_it() {
    let room = room();
    let orphan = r#"{"type":"message","id":"b","parentId":"lost"}"#;
    write(&room.session, &[HEADER, A, orphan]);
    let code = |arguments: &[&str]| ended(doctor(arguments, &room.session)).code;
    assert_eq!(code(&[]), Some(1));
    let before = room.text();
    let accepted = ended(doctor(&["--accept"], &room.session));
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert!(accepted.out.contains("healthy, but for 1 finding that somebody has accepted"));
    assert_eq!(room.text(), before);
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.accepted"]);
    let (answer, ended_as) = found(&["--fix"], &room.dir);
    assert_eq!((&answer["remaining"], ended_as.code), (&json!(0), Some(0)), "{answer}");
    assert_eq!(answer["findings"][0]["treatment"]["action"], "accepted");

    // A line further down it is the same, also after a repair.
    write(&room.session, &[HEADER, A, "{\"cut", orphan]);
    assert_eq!(code(&["--fix"]), Some(0));
    // One more is another one.
    room.scrawl("{\"type\":\"message\",\"id\":\"c\",\"parentId\":\"lost\"}\n");
    assert_eq!(code(&[]), Some(1));
    assert_eq!(code(&["--accept"]), Some(0));
    assert_eq!(code(&[]), Some(0));
    // Nothing is accepted of what can be repaired.
    room.scrawl("{\"cut");
    assert_eq!(code(&["--accept"]), Some(1));
    // Without paths, everything would be accepted.
    assert_eq!(ended(crate::program::turnlock(["doctor", "--accept"])).code, Some(2));
}

#[test]
fn a_torn_or_strange_file_of_accepted_findings_is_no_danger() {
    let room = room();
    let orphan = r#"{"type":"message","id":"b","parentId":"lost"}"#;
    write(&room.session, &[HEADER, A, orphan]);
    let path = room.dir.join("s.jsonl.accepted");
    fs::write(&path, b"\xff\x00{\"accepted\":{\"kind\":\"bro").unwrap();
    assert_eq!(ended(doctor(&[], &room.session)).code, Some(1));
    assert_eq!(ended(doctor(&["--accept"], &room.session)).code, Some(0));
    assert_eq!(ended(doctor(&[], &room.session)).code, Some(0));
    fs::remove_file(&path).unwrap();
    let elsewhere = room.dir.join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert_eq!(ended(doctor(&["--accept"], &room.session)).code, Some(1));
    assert_eq!(fs::read(&elsewhere).unwrap(), b"");
}
