//! Appends under the holder's turn, as its child makes them. Here they are made in the holder's own
//! process; the tests of the command make them in a child.

use std::fs;
use std::time::Duration;

use serde_json::json;
use turnlock::{Durability, Error, LostCause, SessionChange, Sessions};
use turnlock_testing::{Room, room};
use uuid::Uuid;

/// The rules with marks, and the rules for systems without them.
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
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"turn": 1})).unwrap();
        let lines = [json!({"child": 1}), json!({"child": 2})];
        let child = sessions.append_under_blocking(&room.session, turn.owner(), lines).unwrap();
        assert_eq!((child.offset, child.bytes, child.intervening), (11, 24, 0));
        assert_eq!(turn.append_blocking(&json!({"turn": 2})).unwrap().intervening, 24);
        turn.release_blocking().unwrap();
        assert_eq!(room.lines().len(), 4);
    }
}

#[test]
fn a_child_is_refused_once_the_turn_is_released() {
    for sessions in all_rules() {
        let room = room();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"turn": 1})).unwrap();
        let owner = turn.owner();
        turn.release_blocking().unwrap();
        // Without marks the file stays a few milliseconds longer, for the keeper.
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
        let (room, other) = (room(), turnlock_testing::room());
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        fs::copy(&room.lock, &other.lock).unwrap();
        assert_eq!(lost(&sessions, &other, turn.owner()), LostCause::HolderGone);
        assert!(
            !other.session.exists(),
            "the session file that was made for the check is gone again"
        );
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

/// The holder and its child each notice what was done to the session, and each accepts it.
#[test]
fn a_child_is_told_when_the_session_was_changed() {
    for sessions in all_rules() {
        let room = room();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"turn": 1})).unwrap();
        let owner = turn.owner();
        let child = |n: u32| sessions.append_under_blocking(&room.session, owner, [n]);
        let how = |refused| match refused {
            Err(Error::Changed { how, .. }) => how,
            other => panic!("{other:?}"),
        };
        child(1).unwrap();
        fs::write(&room.session, "{}\n").unwrap();
        assert_eq!(how(child(2)), SessionChange::Shortened);
        assert_eq!(how(turn.append_blocking(&2)), SessionChange::Shortened);
        sessions.accept_under_blocking(&room.session, owner).unwrap();
        child(2).unwrap();
        assert_eq!(how(turn.append_blocking(&2)), SessionChange::Shortened);
        assert_eq!(room.text(), "{}\n2\n");

        fs::remove_file(&room.session).unwrap();
        assert_eq!(how(child(3)), SessionChange::Removed);
        assert!(!room.session.exists());
        // What the holder accepts, its children accept.
        assert!(matches!(turn.read(), Err(Error::NoSession { .. })));
        child(3).unwrap();
        assert_eq!(turn.append_blocking(&4).unwrap().intervening, 2);
        turn.rewrite_blocking([5]).unwrap();
        child(6).unwrap();
        assert_eq!(room.text(), "5\n3\n6\n");
        turn.release_blocking().unwrap();
        assert!(matches!(
            sessions.accept_under_blocking(&room.session, owner),
            Err(Error::LockLost { .. })
        ));
    }
}

/// What was noted for one owner says nothing to another.
#[test]
fn a_note_for_an_earlier_turn_does_not_matter() {
    let room = room();
    let sessions = &all_rules()[1];
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"turn": 1})).unwrap();
    sessions.append_under_blocking(&room.session, turn.owner(), [1]).unwrap();
    // Without marks the lock file stays for others, with the note on it.
    turn.release_blocking().unwrap();
    fs::write(&room.session, "").unwrap();
    let next = sessions.turn(&room.session).acquire_blocking().unwrap();
    sessions.append_under_blocking(&room.session, next.owner(), [2]).unwrap();
    assert_eq!(room.text(), "2\n");
}
