//! A line that a killed foreign writer left half written: the next append seals it, and no byte is
//! lost.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use turnlock_testing::room;

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

const TORN: &str = r#"{"type":"message","content":"cut of"#;

/// A program that knows nothing of locks is killed in the middle of a line.
fn tear(session: &Path) {
    let script = r#"printf '%s' "$2" >> "$1"; kill -9 $$"#;
    let killed =
        Command::new("sh").args(["-c", script, "sh"]).arg(session).arg(TORN).status().unwrap();
    assert!(!killed.success());
}

#[test]
fn the_next_turn_seals_a_torn_tail() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n").unwrap();
    tear(&room.session);
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let sealed = turn.append_blocking(&json!({"n": 2})).unwrap();
    assert!(sealed.sealed);
    let next = turn.append_blocking(&json!({"n": 3})).unwrap();
    assert!(!next.sealed);
    assert_eq!(room.text(), format!("{{\"n\":1}}\n{TORN}\n{{\"n\":2}}\n{{\"n\":3}}\n"));
    let text = room.text();
    assert!(
        text[sealed.offset as usize..].starts_with("{\"n\":2}\n"),
        "the offset is the record's"
    );
    assert!(text[next.offset as usize..].starts_with("{\"n\":3}\n"));
}

#[test]
fn a_torn_tail_left_during_a_turn_is_sealed_by_its_next_append() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    tear(&room.session);
    let sealed = turn.append_blocking(&json!({"n": 2})).unwrap();
    assert!(sealed.sealed);
    assert_eq!(sealed.intervening, TORN.len() as u64);
    assert_eq!(room.text(), format!("{{\"n\":1}}\n{TORN}\n{{\"n\":2}}\n"));
}

#[test]
fn a_post_seals_a_torn_tail() {
    let room = room();
    tear(&room.session);
    let Answer::Appended { sealed: true, offset, .. } =
        child(&room).ask(&Ask::Post(json!({"n": 1})))
    else {
        panic!()
    };
    assert_eq!(offset, TORN.len() as u64 + 1);
    assert_eq!(room.text(), format!("{TORN}\n{{\"n\":1}}\n"));
}

#[test]
fn many_that_meet_a_torn_tail_seal_it_once() {
    let room = room();
    tear(&room.session);
    let mut children: Vec<_> = (0..4).map(|_| child(&room)).collect();
    for (writer, child) in (0..).zip(&mut children) {
        child.tell(&Ask::Posts { writer, count: 20 });
    }
    for child in &children {
        assert_eq!(child.answer(), Answer::Done);
    }
    let text = room.text();
    let whole = text.strip_prefix(TORN).unwrap().strip_prefix('\n').unwrap();
    assert_eq!(whole.lines().count(), 80);
    assert!(
        whole.ends_with('\n')
            && whole.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
}
