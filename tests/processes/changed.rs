//! Another program cuts, replaces or removes the session file during a turn. The holder is told
//! before anything is written, and nothing that was acknowledged is lost by its own hand.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use turnlock::{Error, SessionChange, Turn};
use turnlock_testing::{Room, flocked, room};

use crate::child::{Answer, Ask, Child, child};
use crate::sessions::buffered;

/// Runs a line of shell in the room's directory, as an operator does.
fn shell(room: &Room, line: &str) {
    assert!(
        Command::new("sh").args(["-c", line]).current_dir(&room.dir).status().unwrap().success()
    );
}

/// A session with a backup, under a turn that has written more since.
fn turn(room: &Room) -> Turn {
    fs::write(&room.session, "{\"old\":1}\n{\"old\":2}\n").unwrap();
    shell(room, "cp s.jsonl backup");
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    for n in 1..=3 {
        turn.append_blocking(&json!({"turn": n})).unwrap();
    }
    turn
}

#[track_caller]
fn told<T: std::fmt::Debug>(answer: turnlock::Result<T>) -> SessionChange {
    match answer {
        Err(Error::Changed { how, .. }) => how,
        other => panic!("{other:?}"),
    }
}

/// Whatever the holder tries to write, it is told of the change, and nothing is written.
#[track_caller]
fn is_told_by_everything(room: &Room, turn: &mut Turn, how: SessionChange) {
    let before = fs::read(&room.session).ok();
    assert_eq!(told(turn.append_blocking(&json!("no"))), how);
    assert_eq!(told(turn.rewrite_blocking([json!("no")])), how);
    assert_eq!(told(turn.repair_blocking()), how);
    assert_eq!(told(turn.restore_blocking()), how);
    assert_eq!(told(turn.append_blocking(&json!("no"))), how, "it is told again");
    assert_eq!(fs::read(&room.session).ok(), before, "nothing is written");
    assert!(room.names().iter().all(|name| !name.contains("rewrite")), "{:?}", room.names());
}

fn posts(poster: &mut Child, numbers: std::ops::RangeInclusive<u32>) {
    for n in numbers {
        let posted = poster.ask(&Ask::Post(json!({"post": n})));
        assert!(matches!(posted, Answer::Appended { .. }), "{posted:?}");
    }
}

#[test]
fn a_backup_that_is_copied_over_the_session_costs_no_post() {
    let room = room();
    let mut turn = turn(&room);
    let mut poster = child(&room);
    shell(&room, "cp backup s.jsonl");
    posts(&mut poster, 1..=1);
    is_told_by_everything(&room, &mut turn, SessionChange::Shortened);
    assert_eq!(turn.read().unwrap().lines().count(), 3);
    posts(&mut poster, 2..=2);
    let appended = turn.append_blocking(&json!({"turn": 4})).unwrap();
    assert_eq!(appended.intervening, 11);
    turn.rewrite_blocking([json!({"summary": 1})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":1}\n{\"post\":2}\n");
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["backup", "s.jsonl"]);
}

/// The file is as long again as what was seen of it, so that its length tells nothing.
#[test]
fn a_session_that_was_cut_and_has_grown_again_is_noticed() {
    for posted in [3, 12] {
        let room = room();
        let mut turn = turn(&room);
        let mut poster = child(&room);
        shell(&room, "cp backup s.jsonl");
        posts(&mut poster, 1..=posted);
        // Three posts are as long as what the turn had appended; then only a rewrite looks closer.
        let how = SessionChange::Overwritten;
        assert_eq!(told(turn.rewrite_blocking([json!("no")])), how);
        if posted > 3 {
            is_told_by_everything(&room, &mut turn, how);
        }
        assert_eq!(turn.read().unwrap().lines().count(), 2 + posted as usize);
        posts(&mut poster, 13..=13);
        turn.rewrite_blocking([json!({"summary": 1})]).unwrap();
        assert_eq!(room.text(), "{\"summary\":1}\n{\"post\":13}\n");
    }
}

/// Nothing of the turn was written or read before, so that what was there when it began is all that
/// it has seen.
#[test]
fn a_session_that_is_cut_before_the_first_append_is_noticed() {
    for (line, how) in [
        ("cp backup s.jsonl", SessionChange::Shortened),
        ("> s.jsonl", SessionChange::Shortened),
        ("cp backup s.jsonl; cat longer >> s.jsonl", SessionChange::Overwritten),
        ("cp longer s.jsonl", SessionChange::Overwritten),
        ("mv s.jsonl away", SessionChange::Removed),
        ("mv longer s.jsonl", SessionChange::Replaced),
    ] {
        let room = room();
        fs::write(&room.session, "{\"old\":1}\n{\"old\":2}\n").unwrap();
        shell(
            &room,
            "cp s.jsonl backup; for n in 1 2 3 4 5; do echo {\\\"other\\\":$n}; done > longer",
        );
        room.scrawl("{\"old\":3}\n");
        let mut turn = buffered().turn(&room.session).acquire_blocking().unwrap();
        shell(&room, line);
        is_told_by_everything(&room, &mut turn, how);
    }
}

#[test]
fn a_session_that_was_moved_away_is_not_made_anew() {
    let room = room();
    let mut turn = turn(&room);
    shell(&room, "mv s.jsonl archived");
    is_told_by_everything(&room, &mut turn, SessionChange::Removed);
    assert_eq!(told(turn.sync_blocking()), SessionChange::Removed);
    assert!(!room.session.exists());
    // Now it knows, and begins a session.
    assert!(matches!(turn.read(), Err(Error::NoSession { .. })));
    assert_eq!(turn.append_blocking(&json!({"header": 1})).unwrap().offset, 0);
    assert_eq!(room.text(), "{\"header\":1}\n");
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["archived", "backup", "s.jsonl"]);
}

#[test]
fn a_session_that_was_moved_away_stays_away_when_the_turn_ends() {
    let room = room();
    let turn = turn(&room);
    shell(&room, "mv s.jsonl archived");
    told(turn.append_blocking(&json!("no")));
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["archived", "backup"]);
}

#[test]
fn another_file_is_appended_to_once_it_was_read() {
    let room = room();
    let mut turn = turn(&room);
    shell(&room, "mv backup s.jsonl");
    is_told_by_everything(&room, &mut turn, SessionChange::Replaced);
    assert_eq!(told(turn.sync_blocking()), SessionChange::Replaced);
    assert_eq!(turn.read().unwrap().lines().count(), 2);
    turn.append_blocking(&json!({"turn": 4})).unwrap();
    turn.sync_blocking().unwrap();
    assert_eq!(room.text(), "{\"old\":1}\n{\"old\":2}\n{\"turn\":4}\n");
}

#[test]
fn whoever_has_seen_nothing_of_a_session_misses_nothing() {
    let room = room();
    for line in ["rm s.jsonl", "rm s.jsonl; touch s.jsonl", "mv s.jsonl away"] {
        let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
        shell(&room, line);
        assert_eq!(turn.append_blocking(&json!({"n": 1})).unwrap().offset, 0);
        turn.release_blocking().unwrap();
        fs::remove_file(&room.session).unwrap();
    }
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    shell(&room, "echo '{\"other\":1}' > other; mv other s.jsonl");
    assert_eq!(turn.append_blocking(&json!({"n": 1})).unwrap().intervening, 12);
    turn.rewrite_blocking([json!({"summary": 1})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":1}\n{\"other\":1}\n", "what it had not read is kept");
}

/// The thread that waits for the data lock creates a session file if there is none. It is not left
/// behind.
#[test]
fn an_append_that_waits_while_the_session_is_removed_is_told() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    holder.append(json!({"n": 1}));
    let inside = flocked(&room.session);
    holder.tell(&Ask::Append(json!({"n": 2})));
    room.until_data_waited_for(1);
    fs::remove_file(&room.session).unwrap();
    drop(inside);
    let answer = holder.answer();
    assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "changed"), "{answer:?}");
    assert!(!room.session.exists());
    holder.release();
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn whoever_has_lost_the_turn_is_told_that_first() {
    let room = room();
    let turn = turn(&room);
    buffered().revoke(&room.session, turn.owner()).unwrap();
    for line in ["cp backup s.jsonl", "mv s.jsonl away"] {
        shell(&room, line);
        for refused in [
            turn.append_blocking(&json!("no")).map(drop),
            turn.rewrite_blocking([json!("no")]).map(drop),
            turn.repair_blocking().map(drop),
        ] {
            assert!(matches!(refused, Err(Error::LockLost { .. })), "{refused:?}");
        }
    }
    assert!(!room.session.exists());
}

/// While another process is inside an append, a read accepts nothing.
#[test]
fn a_cut_session_is_not_read_while_somebody_writes_to_it() {
    let room = room();
    let turn = turn(&room);
    shell(&room, "cp backup s.jsonl");
    let inside = flocked(&room.session);
    assert!(matches!(turn.read(), Err(Error::DataLockBusy { .. })));
    drop(inside);
    assert_eq!(told(turn.append_blocking(&json!("no"))), SessionChange::Shortened);
    assert_eq!(turn.read().unwrap().records::<Value>().count(), 2);
}

#[tokio::test]
async fn tasks_are_told_too() {
    let room = room();
    let turn = turn(&room);
    shell(&room, "cp backup s.jsonl");
    assert_eq!(told(turn.append(&json!("no")).await), SessionChange::Shortened);
    assert_eq!(told(turn.rewrite([json!("no")]).await), SessionChange::Shortened);
    let text = turn.append(&json!("no")).await.unwrap_err().to_string();
    assert!(text.contains("has cut it during this turn; nothing was written"), "{text}");
    turn.release().await.unwrap();
}
