//! Files that somebody removes or replaces during a turn. If it is the lock file, the fence refuses
//! the former holder; if it is the session file, the holder is told, and lines go into the new one
//! once the holder has read it.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use serde_json::json;
use turnlock::{Error, SessionChange};
use turnlock_testing::{Room, Sleeper, foreign_record, room, start_time_of};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

#[test]
fn a_holder_whose_lock_file_was_removed_writes_no_more() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    holder.append(json!({"n": 1}));
    fs::remove_file(&room.lock).unwrap();
    assert_eq!(holder.ask(&Ask::Lost), Answer::Cause(Some("removed".into())));
    assert_eq!(holder.refused(&Ask::Append(json!({"n": "no"}))).0, "lock-lost");

    let next = buffered().turn(&room.session).try_acquire().unwrap();
    next.append_blocking(&json!({"n": 2})).unwrap();
    assert_eq!(holder.refused(&Ask::Append(json!({"n": "no"}))).0, "lock-lost");
    assert_eq!(holder.refused(&Ask::Release).0, "lock-lost");
    assert!(room.lock.exists(), "the next one's lock is not the former one's to remove");
    next.append_blocking(&json!({"n": 3})).unwrap();
    next.release_blocking().unwrap();
    assert_eq!(room.lines(), [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
    room.expect_clean();
}

#[test]
fn whoever_waits_when_the_lock_file_is_removed_waits_on_the_new_one() {
    let room = room();
    let (mut holder, mut waiter) = (child(&room), child(&room));
    holder.acquire();
    waiter.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    fs::remove_file(&room.lock).unwrap();
    waiter.answered_held();
    assert_eq!(holder.refused(&Ask::Append(json!({"n": "no"}))).0, "lock-lost");
    waiter.append(json!({"n": 1}));
    waiter.release();
    assert_eq!(room.lines(), [json!({"n": 1})]);
}

#[test]
fn a_foreign_lock_in_the_place_of_ours_is_respected() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    let mut foreign = Sleeper::new("node");
    let record = foreign_record(foreign.pid(), Some(start_time_of(foreign.pid())));
    room.put_lock(&record);
    assert_eq!(holder.ask(&Ask::Lost), Answer::Cause(Some("replaced".into())));
    assert_eq!(holder.refused(&Ask::Append(json!({"n": "no"}))).0, "lock-lost");
    assert_eq!(holder.refused(&Ask::Release).0, "lock-lost");
    assert_eq!(fs::read_to_string(&room.lock).unwrap(), record);
    assert_eq!(holder.refused(&Ask::Acquire(0)).0, "timeout");
    foreign.kill();
    holder.acquire();
    assert_eq!(room.text(), "");
}

#[test]
fn a_foreign_record_written_into_our_lock_file_is_respected() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    let foreign = Sleeper::new("node");
    fs::write(&room.lock, foreign_record(foreign.pid(), Some(start_time_of(foreign.pid()))))
        .unwrap();
    assert_eq!(holder.ask(&Ask::Lost), Answer::Cause(Some("taken-over".into())));
    assert_eq!(holder.refused(&Ask::Append(json!({"n": "no"}))).0, "lock-lost");
    assert_eq!(holder.refused(&Ask::Release).0, "lock-lost");
    assert!(room.lock.exists());
    assert_eq!(room.text(), "");
}

#[test]
fn while_lock_files_are_removed_at_random_no_two_writers_interleave() {
    let room = room();
    let mut children: Vec<_> = (0..4).map(|_| child(&room)).collect();
    let count = 500;
    for (writer, child) in (0..).zip(&mut children) {
        child.tell(&Ask::FragileTurns { writer, count });
    }
    let mut lost = 0;
    for child in &children {
        loop {
            match child.has_answered(Duration::from_micros(200)) {
                None => drop(fs::remove_file(&room.lock)),
                Some(Answer::Lost(turns)) => break lost += turns,
                Some(other) => panic!("{other:?}"),
            }
        }
    }
    // Once another turn has written, an earlier one never writes again.
    let lines = room.lines();
    let mut ended = HashSet::new();
    for two in lines.windows(2) {
        if two[0]["owner"] != two[1]["owner"] {
            ended.insert(two[0]["owner"].to_string());
            assert!(!ended.contains(&two[1]["owner"].to_string()), "{:?}", two[1]);
        }
    }
    let whole = lines.iter().filter(|line| line["part"] == 2).count() as u64;
    // A turn may be lost between its last append and its release.
    assert!(whole >= 4 * count - lost, "{whole} whole turns, {lost} lost");
    eprintln!("{lost} of {} turns were lost", 4 * count);
    room.expect_clean();
}

/// Like a compaction: a new file, renamed into place.
fn rewrite(room: &Room, text: &str) {
    let beside = room.dir.join("beside");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, &room.session).unwrap();
}

#[test]
fn what_is_appended_goes_into_the_file_that_the_path_names() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    rewrite(&room, "{\"compacted\":true}\n");
    let refused = turn.append_blocking(&json!({"n": "no"}));
    let Err(Error::Changed { how: SessionChange::Replaced, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(turn.read().unwrap().lines().count(), 1);
    let appended = turn.append_blocking(&json!({"n": 2})).unwrap();
    assert_eq!(appended.offset, 19);
    fs::remove_file(&room.session).unwrap();
    let refused = turn.append_blocking(&json!({"n": "no"}));
    let Err(Error::Changed { how: SessionChange::Removed, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(!room.session.exists());
    assert!(matches!(turn.read(), Err(Error::NoSession { .. })));
    turn.append_blocking(&json!({"n": 3})).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(room.lines(), [json!({"n": 3})]);
    room.expect_clean();
}

#[test]
fn who_waits_for_the_data_lock_while_the_session_is_rewritten_writes_into_the_new_file() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n").unwrap();
    let mut rewriter = child(&room);
    assert_eq!(rewriter.ask(&Ask::LockData), Answer::Done);
    let mut posters = [child(&room), child(&room)];
    for (writer, poster) in (0..).zip(&mut posters) {
        poster.tell(&Ask::Posts { writer, count: 5 });
    }
    room.until_data_waited_for(2);
    rewrite(&room, "{\"compacted\":true}\n");
    assert_eq!(rewriter.ask(&Ask::UnlockData), Answer::Done);
    for poster in &posters {
        assert_eq!(poster.answer(), Answer::Done);
    }
    assert_eq!(room.lines().len(), 11);
    room.expect_clean();
}
