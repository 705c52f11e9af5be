//! Records that a program has split over several lines, because it does not escape newlines.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnlock_testing::{ended, room};

use super::made::{doctor, found};
use crate::program::turnlock;

const H: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"t","cwd":"/"}"#;
const C: &str = r#"{"type":"message","id":"c","parentId":"b","message":{"content":"three"}}"#;

/// A record of several lines with this text.
fn record(text: &str) -> String {
    format!(r#"{{"type":"message","id":"b","parentId":null,"message":{{"content":"{text}"}}}}"#)
}

#[test]
fn a_record_over_several_lines_is_joined_and_what_is_in_it_is_no_record() {
    for text in [
        "one\ntwo",
        "one\ntwo\nthree",
        "one\r\ntwo\r\n",
        "\n\n\n",
        "a\tb",
        "a\n\tb\u{1}",
        // Lines that are JSON by themselves.
        "one\n7\n{}\n[1,2]\nnull\n\ntwo",
        "one\n{\\\"type\\\":\\\"message\\\"}\ntwo",
    ] {
        for behind in [String::new(), "\n".into(), format!("\n{C}\n"), format!("\r\n{C}\r\n")] {
            for front in [format!("{H}\n"), format!("{H}\n{{\"type\":\"torn\",\"a\":\"x\n")] {
                let room = room();
                let original = format!("{front}{}{behind}", record(text));
                fs::write(&room.session, &original).unwrap();
                let (answer, _) = found(&[], &room.session);
                let damages = &answer["findings"][0]["problem"]["survey"]["damages"];
                assert_eq!(damages["split-record"], 1, "{original:?}: {answer}");
                assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0), "{original:?}");
                let texts = room.text();
                let records: Vec<Value> =
                    texts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                let raw = text.replace("\\\"", "\"");
                assert_eq!(records[1]["message"]["content"], raw, "{original:?}");
                assert_eq!(records.len(), 2 + usize::from(behind.contains('c')), "{texts}");
                assert_eq!(found(&[], &room.session).1.code, Some(0));
                assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
                assert_eq!(room.text(), original);
            }
        }
    }
}

#[test]
fn a_record_that_was_cut_in_a_string_takes_nothing_of_the_next_ones() {
    let room = room();
    let original = format!("{H}\n{}\n7\n{C}\n", &record("one")[..70]);
    fs::write(&room.session, &original).unwrap();
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(1), "7 is no record");
    assert_eq!(room.text(), format!("{H}\n7\n{C}\n"));
}

#[test]
fn a_reader_gets_the_record_as_one_line() {
    let room = room();
    fs::write(&room.session, format!("{H}\n{}\n{C}\n", record("one\n7\ntwo"))).unwrap();
    let mut read = turnlock(["read"]);
    read.arg(&room.session);
    let out = ended(read).out;
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert_eq!(lines[1]["message"]["content"], json!("one\n7\ntwo"));
}

/// Lines that begin a record of several lines again and again, and long ones.
#[test]
fn however_a_file_is_split_the_time_is_linear() {
    let began = Instant::now();
    for original in [
        format!("{H}\n") + &"{\"type\":\"x\n".repeat(300_000),
        format!("{H}\n") + &format!("{{\"type\":\"x\n{}", "7\n".repeat(1000)).repeat(300),
        format!("{H}\n{{\"type\":\"") + &"7\n".repeat(1_000_000),
        format!("{H}\n") + &"{\"type\":\"\n\"}\n".repeat(50_000),
        format!("{H}\n{}\n", record(&"line\n".repeat(500_000))),
    ] {
        let room = room();
        fs::write(&room.session, &original).unwrap();
        let fixed = ended(doctor(&["--fix"], &room.session));
        assert!(fixed.code.is_some(), "{fixed:?}");
        if room.text() != original {
            let quarantine = fs::metadata(room.dir.join("s.jsonl.damaged")).unwrap().len();
            assert!(quarantine < 2 * original.len() as u64 + 16 * 1024, "{quarantine}");
            assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
            assert!(room.text() == original);
        }
    }
    // 5 s in a debug build.
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}
