//! Answers in JSON have one shape, and are what their schemas say.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::json;
use turnlock_testing::{Ended, ended, fed, room};

use crate::program::{held, turnlock};
use crate::schema::document;

/// A command with `--json`, with this on its standard input.
fn asked(arguments: &[&str], path: &Path, input: &str) -> Ended {
    let mut command = turnlock(arguments);
    command.arg("--json").arg(path);
    fed(command, input.as_bytes())
}

#[test]
fn what_is_written_read_repaired_and_undone_is_told_as_documents() {
    let room = room();
    let at = &room.session;
    for (arguments, input) in [
        (&["append"][..], "{\"a\":1}\n"),
        (&["append"], ""),
        (&["append", "--buffered"], "{\"b\":1}\n[2]\n"),
        (&["post"], "{\"p\":1}\n"),
    ] {
        let told = asked(arguments, at, input);
        assert_eq!(told.code, Some(0), "{told:?}");
        document(&told.out, "turnlock.append/1");
    }
    fs::write(at, "{\"a\":1}\n{\"b\":{\"c\":1}\u{85}\n{\"a\":1{\"b\":1}\n\0\0{\"d\":1}\n{\"torn")
        .unwrap();
    for arguments in [&["read"][..], &["read", "--tail", "3"]] {
        let told = asked(arguments, at, "");
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(told.out.lines().count() > 2, "{told:?}");
        told.out.lines().for_each(|line| drop(document(line, "turnlock.read/1")));
    }
    for (arguments, code) in [(&["doctor"][..], 1), (&["doctor", "--fix"], 0), (&["doctor"], 0)] {
        let told = asked(arguments, at, "");
        assert_eq!(told.code, Some(code), "{told:?}");
        document(&told.out, "turnlock.doctor/1");
    }
    let undone = asked(&["doctor", "--undo"], at, "");
    // `--undo` takes the path itself.
    assert_eq!(undone.code, Some(2), "{undone:?}");
    let mut undo = turnlock(["doctor", "--json", "--undo"]);
    let undone = ended(undo.arg(at));
    assert_eq!(undone.code, Some(0), "{undone:?}");
    document(&undone.out, "turnlock.doctor.undo/1");
}

#[test]
fn locks_of_all_kinds_and_their_revocation_are_told_as_documents() {
    let room = room();
    let holder = held(&room, &[]);
    let path = |name: &str| room.dir.join(format!("{name}.jsonl.lock"));
    fs::write(
        path("dead"),
        json!({"pid": 1 << 30, "createdAt": "2026-01-01T00:00:00.000Z"}).to_string(),
    )
    .unwrap();
    fs::write(path("fresh"), "").unwrap();
    fs::create_dir(path("unreadable")).unwrap();
    let told = asked(&["status"], &room.dir, "");
    assert_eq!(document(&told.out, "turnlock.status/1")["locks"].as_array().unwrap().len(), 4);
    let told = asked(&["doctor"], &room.dir, "");
    document(&told.out, "turnlock.doctor/1");
    let told = asked(&["append", "--timeout", "0"], &room.session, "{}\n");
    let error = document(&told.out, "turnlock.error/1");
    assert_eq!((&error["code"], told.code), (&json!("timeout"), Some(75)));
    assert_eq!(error["holder"]["pid"], holder.pid());
    assert!(told.err.contains("locked"), "people are told as well: {told:?}");
    let told = asked(&["revoke", "--owner", &holder.pid().to_string()], &room.session, "");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(
        document(&told.out, "turnlock.revoke/1")["revoked"][0]["holder"]["pid"],
        holder.pid()
    );
}

#[test]
fn whatever_fails_is_told_as_a_document_with_a_code() {
    let room = room();
    let at = &room.session;
    for (arguments, input, code, exit_code) in [
        (&["post"][..], "{}\n", "no-session", 1),
        (&["append"], "no json\n", "bad-line", 65),
        (&["read"], "", "no-session", 1),
        (&["revoke", "--owner", "1"], "", "not-the-holder", 1),
        (&["revoke"], "", "usage", 2),
        (&["status", "--no-such-option"], "", "usage", 2),
        (&["doctor", "--undo", "x.jsonl", "--fix"], "", "usage", 2),
        (&["gateway", "status", "--state-dir", "/no/such/one"], "", "usage", 2),
    ] {
        let told = asked(arguments, at, input);
        assert_eq!(told.code, Some(exit_code), "{arguments:?}: {told:?}");
        let error = document(&told.out, "turnlock.error/1");
        assert_eq!((&error["code"], &error["exitCode"]), (&json!(code), &json!(exit_code)));
        assert!(!told.err.is_empty(), "{told:?}");
    }
    // What has an answer tells of failures in it.
    let told = asked(&["status", "/no/such/one.jsonl"], &room.dir, "");
    let answer = document(&told.out, "turnlock.status/1");
    assert_eq!(answer["errors"].as_array().map(Vec::is_empty), Some(false), "{told:?}");
}

#[test]
fn names_that_are_no_text_can_be_had_exactly() {
    let room = room();
    let name = OsStr::from_bytes(b"a\xff\xfe.jsonl");
    let mut lock = name.to_owned();
    lock.push(".lock");
    fs::write(room.dir.join(name), "{}\n").unwrap();
    fs::write(room.dir.join(lock), "{\"pid\":1073741824}").unwrap();
    let ends_with = |value: &serde_json::Value, bytes: &[u8]| {
        use base64::Engine;
        let exact = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap());
        assert!(exact.unwrap().ends_with(bytes), "{value}");
    };
    let told = document(&asked(&["status"], &room.dir, "").out, "turnlock.status/1");
    ends_with(&told["locks"][0]["sessionBase64"], b"/a\xff\xfe.jsonl");
    ends_with(&told["locks"][0]["lockBase64"], b"/a\xff\xfe.jsonl.lock");
    let told = document(&asked(&["doctor"], &room.dir, "").out, "turnlock.doctor/1");
    ends_with(&told["findings"][0]["pathBase64"], b"/a\xff\xfe.jsonl.lock");
    ends_with(&told["findings"][0]["problem"]["lockBase64"], b"/a\xff\xfe.jsonl.lock");
}

#[test]
fn a_stress_run_is_told_as_a_document() {
    let told =
        ended(turnlock(["stress", "--json", "--seconds", "1", "--processes", "2", "--kill"]));
    document(&told.out, "turnlock.stress/1");
}
