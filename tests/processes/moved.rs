//! Sessions that their holder removes, or moves to another name.

use std::fs;

use serde_json::{Value, json};
use turnlock::{Durability, Error, Sessions, Transcript};
use turnlock_testing::{Room, room, until};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

fn synced() -> Sessions {
    Sessions::builder().durability(Durability::Sync).build().unwrap()
}

#[track_caller]
fn expect_unheld(room: &Room) {
    until("the lock is gone", || !room.lock.exists());
}

#[test]
fn a_session_is_removed_and_the_turn_begins_it_anew() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n\0\0{\"n\":1}\n").unwrap();
    let session = synced().session(&room.session).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    assert!(!turn.repair_blocking().unwrap().survey.is_healthy());
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged", "s.jsonl.lock"]);
    turn.remove_blocking().unwrap();
    assert_eq!(room.names(), ["s.jsonl.lock"]);
    let refused = session.post_blocking(&json!({}));
    assert!(matches!(refused, Err(Error::NoSession { .. })), "{refused:?}");
    turn.append_blocking(&json!({"n": 2})).unwrap();
    let mut poster = child(&room);
    assert!(matches!(poster.ask(&Ask::Post(json!({"n": 3}))), Answer::Appended { .. }));
    turn.release_blocking().unwrap();
    assert_eq!(room.lines(), [json!({"n": 2}), json!({"n": 3})]);

    let turn = session.turn().acquire_blocking().unwrap();
    turn.remove_blocking().unwrap();
    turn.remove_blocking().unwrap();
    turn.release_blocking().unwrap();
    expect_unheld(&room);
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_session_gets_another_name_with_its_quarantine_and_nothing_is_replaced() {
    let room = room();
    fs::create_dir(room.dir.join("archive")).unwrap();
    fs::write(&room.session, "{\"n\":0}\n\0\0{\"n\":1}\n").unwrap();
    let session = synced().session(&room.session).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    turn.repair_blocking().unwrap();
    fs::write(room.dir.join("taken"), "").unwrap();
    let refused = turn.rename_to_blocking(room.dir.join("taken"));
    assert_eq!(refused.unwrap_err().code(), "io");
    assert_eq!(room.lines().len(), 2, "the session is where it was");
    let refused = turn.rename_to_blocking(room.dir.join("no/such"));
    assert_eq!(std::io::Error::from(refused.unwrap_err()).kind(), std::io::ErrorKind::NotFound);

    let old = Transcript::open(&room.session).unwrap();
    turn.rename_to_blocking(room.dir.join("archive/1.jsonl")).unwrap();
    turn.append_blocking(&json!({"n": 2})).unwrap();
    // A follower knows that all of it is new, although a line may equal an old one.
    let new = Transcript::open(&room.session).unwrap();
    assert_eq!(new.parts_since(old.file()), Some(Vec::new()));
    turn.release_blocking().unwrap();
    assert_eq!(room.lines(), [json!({"n": 2})]);
    let names = turnlock_testing::names(&room.dir.join("archive"));
    assert_eq!(names, ["1.jsonl", "1.jsonl.damaged"]);
    // It is a session like any other, and its repair can be undone.
    let archived = synced().session(room.dir.join("archive/1.jsonl")).unwrap();
    let turn = archived.turn().acquire_blocking().unwrap();
    turn.restore_blocking().unwrap();
    let text = fs::read_to_string(room.dir.join("archive/1.jsonl")).unwrap();
    assert_eq!(text, "{\"n\":0}\n\0\0{\"n\":1}\n");
}

#[test]
fn a_session_into_which_nothing_was_written_cannot_be_archived() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let refused = turn.rename_to_blocking(room.dir.join("archived"));
    assert!(matches!(refused, Err(Error::NoSession { .. })), "{refused:?}");
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_turn_that_was_revoked_neither_removes_nor_moves_the_session() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let mut other = child(&room);
    assert_eq!(other.ask(&Ask::Revoke(turn.owner())), Answer::Done);
    other.acquire();
    let lost = turn.remove_blocking();
    assert!(matches!(lost, Err(Error::LockLost { .. })), "{lost:?}");
    let lost = turn.rename_to_blocking(room.dir.join("away"));
    assert!(matches!(lost, Err(Error::LockLost { .. })), "{lost:?}");
    other.append(json!({"n": 1}));
    other.release();
    assert_eq!(room.lines().len(), 2);
}

/// Posts beside archives: each line is in exactly one of the files.
#[test]
fn no_post_is_lost_between_an_archive_and_the_session_that_follows() {
    let room = room();
    let mut posters: Vec<_> = (0..2).map(|_| child(&room)).collect();
    for (writer, poster) in (0..).zip(&mut posters) {
        poster.tell(&Ask::PostsCreating { writer, count: 1000 });
    }
    let session = buffered().session(&room.session).unwrap();
    for n in 0..30 {
        let turn = session.turn().acquire_blocking().unwrap();
        turn.append_blocking(&json!({"header": n})).unwrap();
        turn.rename_to_blocking(room.dir.join(format!("archive.{n:02}"))).unwrap();
        turn.release_blocking().unwrap();
    }
    for poster in &posters {
        assert_eq!(poster.answer(), Answer::Done);
    }
    let mut lines: Vec<Value> = Vec::new();
    for name in room.names() {
        let text = fs::read_to_string(room.dir.join(&name)).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    assert_eq!(lines.iter().filter(|line| line["header"].is_u64()).count(), 30);
    for writer in 0..2 {
        let numbers = lines.iter().filter(|line| line["w"] == writer);
        assert!(numbers.map(|line| line["n"].as_u64().unwrap()).eq(0..1000), "writer {writer}");
    }
}

#[test]
fn a_session_that_was_not_moved_after_all_goes_on_for_its_followers() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n").unwrap();
    fs::write(room.dir.join("taken"), "").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let followed = Transcript::open(&room.session).unwrap();
    turn.rename_to_blocking(room.dir.join("taken")).unwrap_err();
    turn.release_blocking().unwrap();
    // Another program rewrites it, and notes nothing: a follower has to compare lines.
    let beside = room.dir.join("beside");
    fs::write(&beside, "{\"n\":0}\n{\"n\":1}\n").unwrap();
    fs::rename(beside, &room.session).unwrap();
    let new = Transcript::open(&room.session).unwrap();
    assert_eq!(new.parts_since(followed.file()), None);
}

#[test]
fn a_quarantine_that_cannot_go_along_keeps_the_session_where_it_is() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n\0\0{\"n\":1}\n").unwrap();
    fs::write(room.dir.join("old.damaged"), "{}\n").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.repair_blocking().unwrap();
    let refused = std::io::Error::from(turn.rename_to_blocking(room.dir.join("old")).unwrap_err());
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(room.lines().len(), 2);
    turn.restore_blocking().unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["old.damaged", "s.jsonl", "s.jsonl.damaged"]);
}

#[test]
fn a_session_gets_no_name_under_which_others_would_destroy_it() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let leftover = "t.jsonl.rewrite-01234567-89ab-cdef-0123-456789abcdef.tmp";
    for name in ["t.jsonl.lock", leftover] {
        let refused = turn.rename_to_blocking(room.dir.join(name));
        assert!(matches!(refused, Err(Error::NotASession { .. })), "{name}: {refused:?}");
    }
    turn.release_blocking().unwrap();
    assert_eq!(room.text(), "{}\n");
    room.expect_clean();
}
