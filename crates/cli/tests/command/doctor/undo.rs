//! `doctor --undo` after the session has gone on, and where there is nothing to undo.

use std::fs;

use turnlock_testing::{ended, fed, room};

use super::made::doctor;
use crate::program::turnlock;

#[test]
fn what_was_appended_since_a_repair_follows_the_original() {
    let room = room();
    let damaged = "{\"a\":1}\n{\"cut he{\"b\":2}\n{\"to";
    fs::write(&room.session, damaged).unwrap();
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    let post = || turnlock(["post".as_ref(), room.session.as_os_str()]);
    assert_eq!(fed(post(), "{\"c\":3}").code, Some(0));
    let undone = ended(doctor(&["--undo"], &room.session));
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(undone.out.contains("and the 8 bytes that were appended since follow"), "{undone:?}");
    assert_eq!(room.text(), format!("{damaged}\n{{\"c\":3}}\n"));
    // It can be repaired again, and that be undone.
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    assert_eq!(room.text(), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    let undone = ended(doctor(&["--json", "--undo"], &room.session));
    assert!(undone.code == Some(0) && undone.out.contains("\"appendedBytes\":0"), "{undone:?}");
    assert_eq!(room.text(), format!("{damaged}\n{{\"c\":3}}\n"));
}

#[test]
fn a_repair_is_not_taken_back_over_what_was_changed_since() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"to").unwrap();
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    fs::write(&room.session, "{\"a\":2}\n{\"b\":2}\n").unwrap();
    let undone = ended(doctor(&["--undo"], &room.session));
    assert_eq!(undone.code, Some(1));
    assert!(undone.err.contains("was changed after its repair"), "{}", undone.err);
    assert_eq!(room.text(), "{\"a\":2}\n{\"b\":2}\n");
}

#[test]
fn the_same_damage_again_does_not_keep_an_earlier_repair_from_being_undone() {
    let room = room();
    let damaged = "{\"a\":1}\n{\"cut he{\"b\":2}\n";
    fs::write(&room.session, damaged).unwrap();
    let torn = "{\"torn";
    for _ in 0..3 {
        assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
        fs::write(&room.session, room.text() + torn).unwrap();
    }
    // What the last two repairs took out is at the end again, once.
    let undone = ended(doctor(&["--undo"], &room.session));
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(room.text(), format!("{damaged}{torn}"));
    // And nothing is left to undo.
    assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(1));
    assert_eq!(room.text(), format!("{damaged}{torn}"));
}

#[test]
fn an_undo_without_a_quarantine_says_so() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n").unwrap();
    let undone = ended(doctor(&["--undo"], &room.session));
    assert_eq!(undone.code, Some(1));
    assert!(undone.err.contains("there is no quarantine"), "{}", undone.err);
    assert_eq!(room.names(), ["s.jsonl"]);
}
