//! The whole file under a turn: reads and rewrites.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};
use turnlock::{Error, Item, SessionChange};
use turnlock_testing::{Room, flocked, room};

use crate::sessions::{buffered, post};

#[test]
fn a_read_tells_lines_and_damage_and_counts_as_seen() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"b\":\n{\"c\":3}\n").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    post(&room, 1);
    let items: Vec<_> = turn.read().unwrap().lines().map(Result::unwrap).collect();
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Line(_))).count(), 3);
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Damage(_))).count(), 1);
    assert_eq!(turn.append_blocking(&json!({"d": 4})).unwrap().intervening, 0);
}

/// Another writer inside its append, which takes it back: the disk was full, or the sync failed.
struct Writing(fs::File, u64);

impl Writing {
    fn begin(room: &Room, line: &str) -> Self {
        let mut file = flocked(&room.session);
        let before = file.metadata().unwrap().len();
        file.write_all(line.as_bytes()).unwrap();
        Self(file, before)
    }

    fn take_back(self) {
        self.0.set_len(self.1).unwrap();
    }
}

#[test]
fn what_is_being_written_is_not_read_since_it_may_be_taken_back() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    let writing = Writing::begin(&room, "{\"post\":1}\n");
    assert_eq!(turn.read().unwrap().lines().count(), 1);
    writing.take_back();
    post(&room, 2);
    turn.rewrite_blocking([json!({"own": 1})]).unwrap();
    assert_eq!(room.text(), "{\"own\":1}\n{\"post\":2}\n");
    assert_eq!(turn.read().unwrap().lines().count(), 2);
}

#[test]
fn a_file_that_another_program_put_there_is_not_read_while_somebody_writes_to_it() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    let other = room.dir.join("other");
    fs::write(&other, "{\"foreign\":1}\n").unwrap();
    fs::rename(other, &room.session).unwrap();
    let writing = Writing::begin(&room, "{\"post\":1}\n");
    assert!(matches!(turn.read(), Err(Error::DataLockBusy { .. })));
    writing.take_back();
    assert_eq!(turn.read().unwrap().lines().count(), 1);
}

/// An operation that fails gives up the session file. What was appended before is synced all the
/// same.
#[test]
fn a_sync_after_a_rewrite_that_was_refused_syncs() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"b\":\n").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    post(&room, 1);
    turn.repair_blocking().unwrap();
    turn.append_blocking(&json!({"d": 4})).unwrap();
    turn.rewrite_blocking([json!(1)]).unwrap_err();
    turn.sync_blocking().unwrap();
    turn.rewrite_blocking([json!(1)]).unwrap_err();
    fs::remove_file(&room.session).unwrap();
    let missing = turn.sync_blocking();
    let Err(Error::Changed { how: SessionChange::Removed, .. }) = missing else {
        panic!("{missing:?}")
    };
}

#[test]
fn a_turn_that_was_lost_makes_no_session_file() {
    let room = room();
    let removed = || {
        let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"own": 1})).unwrap();
        fs::remove_file(turn.lock_path()).unwrap();
        fs::remove_file(turn.path()).unwrap();
        turn
    };
    assert!(matches!(removed().append_blocking(&json!(1)), Err(Error::LockLost { .. })));
    assert_eq!(room.names(), [""; 0]);
    assert!(matches!(removed().rewrite_blocking([json!(1)]), Err(Error::LockLost { .. })));
    assert_eq!(room.names(), [""; 0]);
    assert!(matches!(removed().release_blocking(), Err(Error::LockLost { .. })));
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_revoke_where_there_is_nothing_leaves_nothing() {
    let room = room();
    assert!(matches!(
        buffered().revoke(&room.session, uuid::Uuid::nil()),
        Err(Error::NotTheHolder { .. })
    ));
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_rewrite_carries_over_the_posts_that_the_turn_has_not_read() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_all_blocking((0..10).map(|n| json!({"old": n}))).unwrap();
    post(&room, 1);
    turn.append_blocking(&json!({"own": 1})).unwrap();
    post(&room, 2);
    let rewritten = turn.rewrite_blocking([json!({"summary": true}), json!({"own": 1})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":true}\n{\"own\":1}\n{\"post\":1}\n{\"post\":2}\n");
    assert_eq!(rewritten.carried, 22);
    // They are still unread: a second rewrite carries them again, and those that came since.
    post(&room, 3);
    turn.rewrite_blocking([json!({"summary": 2})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":2}\n{\"post\":1}\n{\"post\":2}\n{\"post\":3}\n");
    // Once they are read, it is the holder who keeps or drops them.
    assert_eq!(turn.read().unwrap().records::<Value>().count(), 4);
    turn.rewrite_blocking([json!({"summary": 3})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":3}\n");
    assert_eq!(turn.append_blocking(&json!({"n": 1})).unwrap().intervening, 0);
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["s.jsonl"]);
}

#[test]
fn a_rewrite_after_a_revoke_is_refused_and_leaves_nothing() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"a": 1})).unwrap();
    buffered().revoke(&room.session, turn.owner()).unwrap();
    assert!(matches!(turn.rewrite_blocking([json!({"b": 1})]), Err(Error::LockLost { .. })));
    assert!(matches!(turn.repair_blocking(), Err(Error::LockLost { .. })));
    drop(turn);
    assert_eq!(room.text(), "{\"a\":1}\n");
    assert_eq!(room.names(), ["s.jsonl"]);
}

#[tokio::test]
async fn the_async_twins_do_the_same() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire().await.unwrap();
    turn.append(&json!({"a": 1})).await.unwrap();
    turn.rewrite([json!({"b": 1})]).await.unwrap();
    assert!(!turn.repair().await.unwrap().changed());
    assert!(turn.restore().await.is_err());
    turn.sync().await.unwrap();
    turn.release().await.unwrap();
    assert_eq!(room.text(), "{\"b\":1}\n");
}

#[test]
fn a_torn_tail_that_a_rewrite_carried_over_is_sealed_by_the_next_append() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    room.scrawl("{\"torn");
    turn.rewrite_blocking([json!({"own": 1})]).unwrap();
    assert!(turn.append_blocking(&json!({"own": 2})).unwrap().sealed);
    assert_eq!(room.text(), "{\"own\":1}\n{\"torn\n{\"own\":2}\n");
}

#[test]
fn a_post_behind_a_torn_line_is_a_line_of_its_own_after_a_rewrite() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    room.scrawl("{\"torn");
    assert!(turn.append_blocking(&json!({"own": 2})).unwrap().sealed);
    post(&room, 1);
    turn.rewrite_blocking([json!({"own": 3})]).unwrap();
    assert_eq!(room.text(), "{\"own\":3}\n{\"torn\n{\"post\":1}\n");
}
