//! Appends by a child of the holder, under the holder's turn. A second opinion on the same files comes from a process of its own in
//! `command.rs`; here the turn's owner is known to the same process.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use turnlock::{Durability, Error, LostCause, Sessions};
use uuid::Uuid;

struct Room {
    _dir: tempfile::TempDir,
    session: PathBuf,
    lock: PathBuf,
}

fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().canonicalize().unwrap().join("s.jsonl");
    Room { lock: session.with_extension("jsonl.lock"), session, _dir: dir }
}

/// The rules with marks, and those for systems without them.
fn all_rules() -> [Sessions; 2] {
    [false, true].map(|portable| {
        let rules = Sessions::builder().durability(Durability::Buffered).portable(portable);
        rules.acquire_timeout(Duration::from_secs(30)).build().unwrap()
    })
}

fn lost(sessions: &Sessions, room: &Room, owner: Uuid) -> LostCause {
    let before = fs::read(&room.session).ok();
    let refused = sessions.append_under_blocking(&room.session, owner, [json!({"child": "late"})]);
    assert_eq!(fs::read(&room.session).ok(), before, "nothing is written");
    match refused {
        Err(Error::LockLost { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_appends_between_the_appends_of_the_turn() {
    for sessions in all_rules() {
        let room = room();
        let mut turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"turn": 1})).unwrap();
        let lines = [json!({"child": 1}), json!({"child": 2})];
        let child = sessions.append_under_blocking(&room.session, turn.owner(), lines).unwrap();
        assert_eq!((child.offset, child.bytes, child.intervening), (11, 24, 0));
        assert_eq!(turn.append_blocking(&json!({"turn": 2})).unwrap().intervening, 24);
        turn.release_blocking().unwrap();
        assert_eq!(fs::read_to_string(&room.session).unwrap().lines().count(), 4);
    }
}

#[test]
fn a_child_is_refused_once_the_turn_is_released() {
    for sessions in all_rules() {
        let room = room();
        let mut turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"turn": 1})).unwrap();
        let owner = turn.owner();
        turn.release_blocking().unwrap();
        // Without marks the file stays for the keeper a few milliseconds more.
        assert!(matches!(
            lost(&sessions, &room, owner),
            LostCause::Removed | LostCause::HolderGone
        ));
    }
}

#[test]
fn a_child_is_refused_after_a_revoke_and_under_the_next_turn() {
    for sessions in all_rules() {
        let room = room();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        let owner = turn.owner();
        sessions.revoke(&room.session, owner).unwrap();
        assert_eq!(lost(&sessions, &room, owner), LostCause::Removed);
        drop(turn);
        let next = sessions.turn(&room.session).acquire_blocking().unwrap();
        assert_eq!(lost(&sessions, &room, owner), LostCause::TakenOver);
        sessions.append_under_blocking(&room.session, next.owner(), [1]).unwrap();
    }
}

#[test]
fn a_record_whose_lock_nobody_has_lets_no_child_write() {
    for sessions in all_rules() {
        let (room, other) = (room(), self::room());
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        fs::copy(&room.lock, &other.lock).unwrap();
        assert_eq!(lost(&sessions, &other, turn.owner()), LostCause::HolderGone);
        assert!(!other.session.exists(), "what was made for the look is gone again");
    }
}

#[tokio::test]
async fn tasks_can_do_it_too() {
    let room = room();
    let sessions = &all_rules()[0];
    let turn = sessions.turn(&room.session).acquire().await.unwrap();
    sessions.append_under(&room.session, turn.owner(), [json!({"child": 1})]).await.unwrap();
    let other = sessions.append_under(&room.session, Uuid::now_v7(), [json!({"child": 2})]).await;
    assert!(matches!(other, Err(Error::LockLost { cause: LostCause::TakenOver, .. })), "{other:?}");
    turn.release().await.unwrap();
}
