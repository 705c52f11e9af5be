//! A header is part of the health of a transcript: a program that finds none discards the file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use turnlock::Sessions;
use turnlock_testing::{ended, room};

use super::made::{doctor, found};

const H: &str = concat!(
    r#"{"type":"session","version":3,"id":"171bf324-9b51-4c6e-b364-a41ba9f5ac0b","#,
    r#""timestamp":"2026-01-01T00:00:00.000Z","cwd":"/srv/agent"}"#
);
const A: &str = concat!(
    r#"{"type":"message","id":"a","parentId":null,"timestamp":"2026-01-01T00:00:01.000Z","#,
    r#""message":{"role":"user","content":"one"}}"#
);
const B: &str = concat!(
    r#"{"type":"message","id":"b","parentId":"a","timestamp":"2026-01-01T00:00:02.000Z","#,
    r#""message":{"role":"assistant","content":"two"}}"#
);
const ID: &str = "171bf324-9b51-4c6e-b364-a41ba9f5ac0b";

/// The findings about a file, as their kinds.
fn kinds(answer: &Value, path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let findings = answer["findings"].as_array().unwrap();
    let of_file = findings.iter().filter(|finding| finding["path"] == path);
    of_file.map(|finding| finding["problem"]["kind"].as_str().unwrap().to_owned()).collect()
}

/// The records of a file.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn undo(path: &Path) {
    let sessions = Sessions::builder().build().unwrap();
    let turn = sessions.turn(path).try_acquire().unwrap();
    turn.restore_blocking().unwrap();
    turn.release_blocking().unwrap();
}

/// Files whose header was lost in every way and at every byte, and the records that each must have
/// after it is found again.
fn without_header() -> Vec<(String, Vec<&'static str>)> {
    let mut files = Vec::new();
    for cut in 0..H.len() {
        let torn = &H[..cut];
        let newlines: &[_] = if cut % 7 == 0 { &["\n", "\r\n"] } else { &["\n"] };
        for newline in newlines {
            files.push((format!("{torn}{newline}{A}{newline}{B}{newline}"), vec![A, B]));
        }
        // A record is not told from a value of the header that was cut just before one.
        let is_value = torn.ends_with("\":");
        let left = if is_value { vec![B] } else { vec![A, B] };
        files.push((format!("{torn}{A}\n{B}\n"), left));
        if cut % 20 == 0 {
            files.push((format!("{}\0\0{A}\n{B}", "\0".repeat(cut)), vec![A, B]));
        }
    }
    files
}

#[test]
fn a_lost_header_is_told_of_and_found_again_and_the_repair_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let files = without_header();
    let path = |n: usize| {
        let of_file = dir.join(format!("{n}"));
        fs::create_dir_all(of_file.join("sessions")).unwrap();
        of_file.join("sessions").join(format!("{ID}.jsonl"))
    };
    let paths: Vec<_> = (0..files.len()).map(path).collect();
    for ((text, _), path) in files.iter().zip(&paths) {
        fs::write(path, text).unwrap();
    }
    let look = |arguments: &[&str]| {
        let mut command = doctor(&["--json", "--transcripts-only"], &dir.join("0"));
        command.args(arguments).args((1..files.len()).map(|n| dir.join(n.to_string())));
        let ended = ended(command);
        (serde_json::from_str::<Value>(&ended.out).unwrap(), ended.code)
    };
    let (before, code) = look(&[]);
    assert_eq!(code, Some(1));
    for ((text, _), path) in files.iter().zip(&paths) {
        assert!(kinds(&before, path).contains(&"no-header".to_owned()), "{text:?}");
    }
    let (fixed, code) = look(&["--fix"]);
    // Where a record was lost, the next one has no parent any more.
    let broken = files.iter().filter(|(_, left)| left.len() == 1).count();
    assert_eq!((&fixed["remaining"], code), (&json!(broken), Some(1)), "{fixed}");
    for ((text, left), path) in files.iter().zip(&paths) {
        let records = records(path);
        let header = &records[0];
        assert_eq!((&header["type"], &header["version"]), (&json!("session"), &json!(3)), "{text}");
        assert_eq!(header["id"], ID, "{text}");
        assert!(header["cwd"].is_null() || header["cwd"] == "/srv/agent", "{text}");
        let left: Vec<Value> =
            left.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(records[1..], left, "{text}");
    }
    let (after, _) = look(&[]);
    for ((text, left), path) in files.iter().zip(&paths) {
        let chain_is_broken = left.len() == 1;
        let expected = if chain_is_broken { vec!["broken-chain"] } else { vec![] };
        assert_eq!(kinds(&after, path), expected, "{text:?}");
    }
    for ((text, _), path) in files.iter().zip(&paths) {
        undo(path);
        assert_eq!(&fs::read_to_string(path).unwrap(), text);
    }
}

#[test]
fn a_torn_header_before_a_good_one_is_only_damage() {
    let room = room();
    let torn = format!("{}\n{H}\n{A}\n", &H[..30]);
    fs::write(&room.session, &torn).unwrap();
    let (answer, _) = found(&[], &room.session);
    assert_eq!(answer["findings"][0]["problem"]["kind"], "damaged-transcript");
    assert_eq!(found(&["--fix"], &room.session).1.code, Some(0));
    assert_eq!(room.text(), format!("{H}\n{A}\n"));
    assert_eq!(found(&[], &room.session).1.code, Some(0));
}

#[test]
fn a_header_that_is_not_first_is_put_first() {
    for (text, expected) in [
        (format!("{A}\n{H}\n{B}\n"), format!("{H}\n{A}\n{B}\n")),
        (format!("{A}\r\n{B}\r\n{H}\r\n"), format!("{H}\n{A}\r\n{B}\r\n")),
        (format!("{A}\n{H}"), format!("{H}\n{A}\n")),
        (format!("{A}{H}{B}\n"), format!("{H}\n{A}\n{B}\n")),
        (format!("junk\n{A}\nmore\n{H}\nmore\n{B}\n"), format!("{H}\n{A}\n{B}\n")),
        (format!("{}\n{A}\n{H}\n", &H[..40]), format!("{H}\n{A}\n")),
    ] {
        let room = room();
        fs::write(&room.session, &text).unwrap();
        let look = ended(doctor(&[], &room.session));
        assert!(look.out.contains("OpenClaw discards this file"), "{look:?}");
        let fixed = ended(doctor(&["--fix"], &room.session));
        assert!(
            fixed.code == Some(0) && fixed.out.contains("its header is the first"),
            "{fixed:?}"
        );
        assert_eq!(room.text(), expected);
        assert_eq!(found(&[], &room.session).1.code, Some(0));
        assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
        assert_eq!(room.text(), text);
    }
}

#[test]
fn what_a_header_was_made_of_is_told() {
    let room = room();
    fs::write(&room.session, format!("{}\n{A}\n", &H[..50])).unwrap();
    let look = ended(doctor(&[], &room.session));
    let told = "no session header: OpenClaw discards this file [would be given its header]";
    assert!(look.code == Some(1) && look.out.contains(told), "{look:?}");
    let fixed = ended(doctor(&["--fix"], &room.session));
    assert!(fixed.out.contains("with the id s from the name of the file"), "{fixed:?}");
    assert!(fixed.out.contains("the timestamp of the first record"), "{fixed:?}");
}

const META: &str = concat!(
    r#"{"timestamp":"2026-01-01T00:00:00.000Z","type":"session_meta","payload":"#,
    r#"{"id":"171bf324-9b51-4c6e-b364-a41ba9f5ac0b","timestamp":"2026-01-01T00:00:00.000Z","#,
    r#""cwd":"/srv","originator":"codex_cli_rs","cli_version":"0.46.0","source":"cli"}}"#
);
const ITEM: &str = concat!(
    r#"{"timestamp":"2026-01-01T00:00:01.000Z","type":"response_item","payload":"#,
    r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}}"#
);
const TURN: &str = concat!(
    r#"{"timestamp":"2026-01-01T00:00:02.000Z","type":"turn_context","#,
    r#""payload":{"cwd":"/srv","model":"m"}}"#
);

#[test]
fn a_codex_session_gets_its_meta_back_wherever_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let mut files = Vec::new();
    for cut in (0..META.len()).step_by(5) {
        let folder = dir.join(format!("{cut}"));
        fs::create_dir(&folder).unwrap();
        let path = folder.join(format!("rollout-2026-01-01T00-00-00-{ID}.jsonl"));
        let text = format!("{}\n{ITEM}\n{TURN}\n", &META[..cut]);
        fs::write(&path, &text).unwrap();
        files.push((path, text));
    }
    let mut command = doctor(&["--fix", "--transcripts-only"], &files[0].0);
    command.args(files[1..].iter().map(|(path, _)| path));
    let fixed = ended(command);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    for (path, text) in &files {
        let records = records(path);
        assert_eq!(records.len(), 3, "{text}");
        assert_eq!(records[0]["type"], "session_meta");
        assert_eq!(records[0]["payload"]["id"], ID);
        assert_eq!(records[0]["payload"]["cwd"], "/srv");
        for key in ["originator", "cli_version", "timestamp"] {
            assert!(records[0]["payload"][key].is_string(), "{text}");
        }
        undo(path);
        assert_eq!(&fs::read_to_string(path).unwrap(), text);
    }
}

/// Without an id, or without a directory, the header cannot be made. What is damaged beside it is
/// not touched either.
#[test]
fn where_too_little_is_left_nothing_is_changed_and_the_reason_is_told() {
    for (text, lacks) in [
        (format!("{}\n{ITEM}\n{TURN}\n", &META[..90]), "lacks an id"),
        (format!("{ITEM}\n{{\"torn\n"), "lacks an id"),
        (
            concat!(
                r#"{"sessionId":"s","proj"#,
                "\n",
                r#"{"id":"1","timestamp":"t","type":"gemini","content":"hi"}"#,
                "\n"
            )
            .to_owned(),
            "lacks a projectHash",
        ),
        (
            concat!(
                r#"{"type":"user.message","data":{"content":"hi"},"id":"e","timestamp":"t","#,
                r#""parentId":null}"#,
                "\n"
            )
            .to_owned(),
            "lacks the facts that it had",
        ),
    ] {
        let room = room();
        fs::write(&room.session, &text).unwrap();
        for arguments in [&[][..], &["--fix"]] {
            let ended = ended(doctor(arguments, &room.session));
            assert!(ended.code == Some(1) && ended.out.contains(lacks), "{ended:?}");
            assert!(ended.out.contains("no session header: "), "{ended:?}");
            assert_eq!((room.text(), room.names().len()), (text.clone(), 1));
        }
    }
}

#[test]
fn formats_without_a_header_and_unknown_ones_want_none() {
    for text in [
        r#"{"parentUuid":null,"sessionId":"s","type":"user","message":{},"uuid":"u"}"#,
        r#"{"role":"user","content":"hi"}"#,
        r#"{"type":"message","message":{"role":"user"}}"#,
        H,
        META,
        r#"{"sessionId":"s","projectHash":"h","startTime":"","kind":"main"}"#,
    ] {
        let room = room();
        fs::write(&room.session, format!("{text}\n")).unwrap();
        assert_eq!(found(&[], &room.session).1.code, Some(0), "{text}");
        fs::write(&room.session, format!("{text}\n{{\"torn")).unwrap();
        assert_eq!(found(&["--fix"], &room.session).1.code, Some(0), "{text}");
        assert_eq!(room.text(), format!("{text}\n"));
    }
}
