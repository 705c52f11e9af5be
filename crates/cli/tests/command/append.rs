//! `turnlock append` and `turnlock post`.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use turnlock_testing::{Ended, Room, fed, room};

use crate::program::{TURNLOCK, held, turnlock};

fn write(verb: &str, room: &Room, options: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let mut command = turnlock([verb]);
    command.args(options).arg(&room.session);
    fed(command, input)
}

#[test]
fn lines_are_appended_as_they_were_written() {
    let room = room();
    let answer =
        write("append", &room, &["--json"], "{\"b\":1,  \"a\":1e3}\r\n\n  \n[1.50]\n\"\\ud800\"");
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    assert_eq!(room.text(), "{\"b\":1,  \"a\":1e3}\n[1.50]\n\"\\ud800\"\n");
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        told,
        json!({
            "schema": "turnlock.append/1", "lines": 3, "offsetBytes": 0, "lengthBytes": 34,
            "interveningBytes": 0, "sealed": false,
        })
    );
    let answer = write("append", &room, &["--buffered", "--timeout", "none"], "{}");
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (Some(0), "", ""));
    assert!(room.text().ends_with("\"\n{}\n"));
    assert!(!room.lock.exists());
}

#[test]
fn one_bad_line_and_nothing_is_written() {
    for (input, line) in [
        (&b"{\"a\":1}\n\n{\"b\":\n{}"[..], 3),
        (b"{\"a\":1} {\"b\":2}", 1),
        (b"1\n2\n\"\xff\"", 3),
        (b"\xef\xbb\xbf{}", 1),
        (b"1\n\0", 2),
    ] {
        for (verb, options) in [("append", &[][..]), ("post", &["--create"])] {
            let room = room();
            let answer = write(verb, &room, options, input);
            assert_eq!(answer.code, Some(65), "{answer:?}");
            assert!(answer.err.contains(&format!("line {line} is not JSON")), "{answer:?}");
            assert_eq!(fs::read_dir(&room.dir).unwrap().count(), 0);
        }
    }
}

#[test]
fn empty_input_writes_nothing() {
    let room = room();
    let answer = write("append", &room, &["--json"], "\n \n");
    assert_eq!(
        (answer.code, answer.out.as_str(), answer.err.as_str()),
        (Some(0), "{\"schema\":\"turnlock.append/1\",\"lines\":0}\n", "")
    );
    assert_eq!(fs::read_dir(&room.dir).unwrap().count(), 0);
}

#[test]
fn an_append_waits_its_turn_and_a_post_does_not() {
    let room = room();
    fs::write(&room.session, "{\"torn\":").unwrap();
    let holder = held(&room, &[]);
    let answer = write("append", &room, &["--timeout", "20ms"], "{}");
    assert_eq!(answer.code, Some(75), "{answer:?}");
    let text =
        format!("session file locked (timeout 20ms): pid={} alive=true ageMs=", holder.pid());
    assert!(answer.err.contains(&text), "{answer:?}");
    let answer = write("post", &room, &["--json"], "{\"post\":1}");
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        told,
        json!({
            "schema": "turnlock.append/1", "lines": 1, "offsetBytes": 9, "lengthBytes": 11,
            "interveningBytes": 0, "sealed": true,
        })
    );
    assert!(answer.err.contains("torn line"), "{answer:?}");
    holder.end();
    assert_eq!(room.text(), "{\"torn\":\n{\"post\":1}\n");
}

#[test]
fn a_post_creates_a_session_only_when_told_to() {
    let room = room();
    let answer = write("post", &room, &[], "{}");
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(
        answer.err.contains("no such session") && answer.err.contains("--create"),
        "{answer:?}"
    );
    assert!(!room.session.exists());
    assert_eq!(write("post", &room, &["--create", "--buffered"], "{}").code, Some(0));
    assert_eq!(room.text(), "{}\n");
}

#[test]
fn a_mistyped_path_creates_nothing() {
    let input: &[(&[&str], &[&str])] =
        &[(&["append"], &[]), (&["post"], &[]), (&["run"], &["--", "echo", "never"])];
    for path in ["none/s.jsonl", "none/below/s.jsonl"] {
        for (verb, command) in input {
            let room = room();
            let session = room.dir.join(path);
            let mut line = turnlock(*verb);
            line.arg(&session).args(*command);
            let answer = fed(line, "{}");
            assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""), "{answer:?}");
            assert!(
                answer.err.contains("--create")
                    && answer.err.contains(session.parent().unwrap().to_str().unwrap()),
                "{answer:?}"
            );
            assert_eq!(fs::read_dir(&room.dir).unwrap().count(), 0);

            let mut line = turnlock(*verb);
            line.arg("--create").arg(&session).args(*command);
            let answer = fed(line, "{}");
            assert_eq!(answer.code, Some(0), "{answer:?}");
            assert!(session.parent().unwrap().is_dir());
        }
    }
}

#[test]
fn a_session_in_the_current_directory_needs_no_option() {
    let room = room();
    for (verb, command) in [(&["append"][..], &[][..]), (&["run"], &["--", "true"])] {
        let mut line = turnlock(verb);
        line.arg("s.jsonl").args(command).current_dir(&room.dir);
        assert_eq!(fed(line, "{}").code, Some(0));
    }
    assert_eq!(room.text(), "{}\n");
}

#[test]
fn beyond_the_file_size_limit_an_append_fails_and_is_not_killed() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let line = json!({"long": "x".repeat(4000)}).to_string();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 1; exec \"$0\" append \"$1\"", TURNLOCK]).arg(&room.session);
    let answer = fed(command, line);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("file size limit"), "{answer:?}");
    assert_eq!(room.text(), "{}\n");
}

#[test]
fn an_answer_that_nobody_reads_is_no_failure() {
    let room = room();
    for verb in [&["append", "--json"][..], &["status", "--json"], &["man"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = turnlock(verb);
        if verb.len() > 1 {
            command.arg(&room.session);
        }
        fs::write(room.dir.join("input"), "{}\n").unwrap();
        let input = fs::File::open(room.dir.join("input")).unwrap();
        let output = command.stdin(input).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*err), (Some(0), ""), "{verb:?}");
    }
    assert_eq!(room.text(), "{}\n");
}
