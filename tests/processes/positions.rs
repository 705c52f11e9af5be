//! Rewrites against an earlier read, beside other writers.

use std::fs;

use serde_json::{Value, json};
use turnlock::testing::waiters_here;
use turnlock::{Error, Session, SessionChange, Transcript};
use turnlock_testing::{Room, room, until};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

fn session(room: &Room, lines: u64) -> Session {
    let session = buffered().session(&room.session).unwrap();
    session.post_creating_blocking((0..lines).map(|n| json!({"n": n}))).unwrap();
    session
}

#[track_caller]
fn expect_changed(rewritten: turnlock::Result<turnlock::Rewritten>, expected: SessionChange) {
    match rewritten {
        Err(Error::Changed { how, .. }) => assert_eq!(how, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_posted_since_the_read_is_carried_over_wherever_the_read_was() {
    let room = room();
    let session = session(&room, 3);
    let mut poster = child(&room);
    let before = session.read_blocking().unwrap();
    let unbounded = Transcript::open(&room.session).unwrap().position();
    poster.tell(&Ask::Post(json!({"post": 1})));
    assert!(matches!(poster.answer(), Answer::Appended { .. }));
    let turn = session.turn().acquire_blocking().unwrap();
    assert_eq!(before.records::<Value>().count(), 3);
    assert_eq!(before.position().offset(), unbounded.offset());
    let rewritten = turn.rewrite_from_blocking(before.position(), [json!({"sum": 3})]).unwrap();
    assert_eq!(rewritten.carried, 11);
    assert_eq!(room.lines(), [json!({"sum": 3}), json!({"post": 1})]);

    // In the turn: what the turn appends itself, and what others post.
    let now = turn.read().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    poster.tell(&Ask::Post(json!({"post": 2})));
    assert!(matches!(poster.answer(), Answer::Appended { .. }));
    turn.rewrite_from_blocking(now.position(), [json!({"sum": 4})]).unwrap();
    assert_eq!(room.lines(), [json!({"sum": 4}), json!({"own": 1}), json!({"post": 2})]);

    // A plain rewrite still carries over what the turn has not read.
    turn.rewrite_blocking([json!({"sum": 5})]).unwrap();
    assert_eq!(room.lines()[0], json!({"sum": 5}));
    assert!(room.lines().contains(&json!({"post": 2})));
    turn.release_blocking().unwrap();
    room.expect_clean();
}

#[test]
fn a_second_rewriter_is_told_that_the_first_came_before() {
    let room = room();
    let session = session(&room, 3);
    let position = session.read_blocking().unwrap().position();
    let mut other = child(&room);
    other.acquire();
    assert_eq!(other.ask(&Ask::Rewrite(json!({"other": 1}))), Answer::Done);
    other.release();
    let turn = session.turn().acquire_blocking().unwrap();
    let rewritten = turn.rewrite_from_blocking(position.clone(), [json!({"sum": 3})]);
    expect_changed(rewritten, SessionChange::Replaced);
    assert_eq!(room.lines(), [json!({"other": 1})]);
    // So is one whose own turn has rewritten or repaired it.
    let position = turn.read().unwrap().position();
    turn.rewrite_blocking([json!({"own": 1})]).unwrap();
    let rewritten = turn.rewrite_from_blocking(position, [json!({"sum": 3})]);
    expect_changed(rewritten, SessionChange::Replaced);
    assert_eq!(room.lines(), [json!({"own": 1})]);
}

#[test]
fn what_a_program_without_a_lock_does_before_the_position_is_told() {
    for (before_the_turn, what, how) in [
        (true, "{\"n\":9}\n{\"n\":1}\n{\"n\":2}\n", SessionChange::Overwritten),
        (false, "{\"n\":9}\n{\"n\":1}\n{\"n\":2}\n", SessionChange::Overwritten),
        (true, "{\"n\":0}\n{\"n\":9}\n{\"n\":2}\n{\"more\":1}\n", SessionChange::Overwritten),
        (true, "{\"n\":0}\n", SessionChange::Shortened),
    ] {
        let room = room();
        let session = session(&room, 3);
        let position = session.read_blocking().unwrap().position();
        let write = || fs::write(&room.session, what).unwrap();
        if before_the_turn {
            write();
        }
        let turn = session.turn().acquire_blocking().unwrap();
        if !before_the_turn {
            write();
        }
        let rewritten = turn.rewrite_from_blocking(position, [json!({"sum": 3})]);
        expect_changed(rewritten, how);
        assert_eq!(fs::read_to_string(&room.session).unwrap(), what);
        assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"], "nothing is left beside it");
    }
}

/// Both orders in which an append and a rewrite of one turn can come.
#[test]
fn an_append_of_the_same_turn_that_comes_while_it_rewrites_is_carried_over() {
    for append_first in [true, false] {
        let room = room();
        let session = session(&room, 2);
        let turn = session.turn().acquire_blocking().unwrap();
        let mut blocker = child(&room);
        assert_eq!(blocker.ask(&Ask::LockData), Answer::Done);
        let waiters = || turnlock::testing::data_waiters_here(&room.session);
        std::thread::scope(|scope| {
            let append = || turn.append_blocking(&json!({"own": 1})).map(drop);
            let rewrite = || turn.rewrite_blocking([json!({"sum": 2})]).map(drop);
            let first = scope.spawn(move || if append_first { append() } else { rewrite() });
            until("the first one waits", || waiters() == 1);
            let second = scope.spawn(move || if append_first { rewrite() } else { append() });
            until("the second one waits", || waiters() == 2);
            assert_eq!(blocker.ask(&Ask::UnlockData), Answer::Done);
            first.join().unwrap().unwrap();
            second.join().unwrap().unwrap();
        });
        assert_eq!(room.lines(), [json!({"sum": 2}), json!({"own": 1})], "{append_first}");
        turn.release_blocking().unwrap();
        assert_eq!(waiters_here(&room.session), 0);
        room.expect_clean();
    }
}

/// A gateway that reads, thinks and replaces, without keeping the turn meanwhile.
#[test]
fn a_program_that_thinks_between_read_and_rewrite_loses_no_line_of_others() {
    let room = room();
    let session = session(&room, 1);
    let mut posters: Vec<_> = (0..2).map(|_| child(&room)).collect();
    for (writer, poster) in (0..).zip(&mut posters) {
        poster.tell(&Ask::Posts { writer, count: 500 });
    }
    let mut rewriter = child(&room);
    let mut kept: Vec<Value> = Vec::new();
    let mut rewrites = 0;
    for round in 0..200 {
        let history = session.read_blocking().unwrap();
        let lines: Vec<Value> = history.records().collect::<Result<_, _>>().unwrap();
        if round % 20 == 0 {
            // Another one compacts meanwhile.
            rewriter.acquire();
            let sum = json!({"kept": kept.len()});
            assert_eq!(rewriter.ask(&Ask::Repair), Answer::Done, "{sum}");
            rewriter.release();
        }
        let turn = session.turn().acquire_blocking().unwrap();
        match turn.rewrite_from_blocking(history.position(), [json!({"round": round})]) {
            Ok(_) => {
                kept.extend(lines.into_iter().filter(|line| line["w"].is_u64()));
                rewrites += 1;
            }
            Err(Error::Changed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        turn.release_blocking().unwrap();
    }
    for poster in &posters {
        assert_eq!(poster.answer(), Answer::Done);
    }
    kept.extend(room.lines().into_iter().filter(|line| line["w"].is_u64()));
    assert!(rewrites > 0);
    for writer in 0..2 {
        let numbers = kept.iter().filter(|line| line["w"] == writer);
        assert!(numbers.map(|line| line["n"].as_u64().unwrap()).eq(0..500), "writer {writer}");
    }
}

#[test]
fn a_position_at_the_end_of_a_torn_tail_loses_no_post_and_leaves_no_blank_line() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n{\"torn").unwrap();
    let session = buffered().session(&room.session).unwrap();
    let before = session.read_blocking().unwrap().position();
    let turn = session.turn().acquire_blocking().unwrap();
    let position = turn.read().unwrap().position();
    assert_eq!((before.offset(), position.offset()), (8, 14));
    session.post_blocking(&json!({"n": 1})).unwrap();
    turn.rewrite_from_blocking(position, [json!({"sum": 0})]).unwrap();
    assert_eq!(room.text(), "{\"sum\":0}\n{\"n\":1}\n");
    expect_changed(turn.rewrite_from_blocking(before, [json!({})]), SessionChange::Replaced);
    turn.release_blocking().unwrap();
}

#[test]
fn a_line_of_which_a_position_is_in_the_midst_is_not_torn_by_a_rewrite() {
    let room = room();
    let session = session(&room, 3);
    let position = session.read_blocking().unwrap().until(12).position();
    let turn = session.turn().acquire_blocking().unwrap();
    let rewritten = turn.rewrite_from_blocking(position, [json!({"sum": 1})]);
    assert_eq!(rewritten.unwrap().carried, 16);
    assert_eq!(room.lines(), [json!({"sum": 1}), json!({"n": 1}), json!({"n": 2})]);
    turn.release_blocking().unwrap();
}

#[test]
fn a_torn_tail_with_which_another_program_goes_on_is_not_torn_by_a_rewrite() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n{\"n").unwrap();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let position = turn.read().unwrap().position();
    assert_eq!(position.offset(), 11);
    room.scrawl("\":1}\n");
    expect_changed(turn.rewrite_blocking([json!({})]), SessionChange::Overwritten);
    expect_changed(turn.rewrite_from_blocking(position, [json!({})]), SessionChange::Overwritten);
    assert_eq!(room.lines().len(), 2);
    let position = turn.read().unwrap().position();
    turn.rewrite_from_blocking(position, [json!({"sum": 2})]).unwrap();
    assert_eq!(room.lines(), [json!({"sum": 2})]);
    turn.release_blocking().unwrap();
}

#[test]
fn a_whole_record_without_a_newline_is_the_last_one() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n{\"n\":1}").unwrap();
    let session = buffered().session(&room.session).unwrap();
    session
        .post_with_blocking(|tail| {
            let last: Option<Value> = tail.last()?;
            assert_eq!(last, Some(json!({"n": 1})));
            assert_eq!(tail.records::<Value>(usize::MAX)?.len(), 2);
            assert_eq!(tail.records::<Value>(0)?.len(), 0);
            Ok(json!({"n": 2}))
        })
        .unwrap();
    assert_eq!(room.lines().len(), 3);
}
