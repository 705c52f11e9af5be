//! Lines that are made from the last records, under the data lock.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Value, json};
use turnlock::{Batch, Durability, Error, LostCause, Tail};
use turnlock_testing::{Room, foreign_record, room, until};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

type Made = Result<Value, Box<dyn std::error::Error + Send + Sync>>;

/// The line after the last one, with the next number.
pub fn next(tail: &Tail<'_>, writer: u64) -> turnlock::Result<Value> {
    let last: Option<Value> = tail.last()?;
    let n = last.map_or(0, |last| last["n"].as_u64().unwrap_or(0) + 1);
    Ok(json!({"w": writer, "n": n}))
}

#[track_caller]
fn expect_numbered(room: &Room) -> usize {
    let lines = room.lines();
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["n"], n, "{lines:?}");
    }
    lines.len()
}

#[test]
fn lines_of_three_posters_and_a_holder_are_numbered_without_a_gap() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    let mut posters: Vec<_> = (0..3).map(|_| child(&room)).collect();
    for (writer, poster) in (0..).zip(&mut posters) {
        poster.tell(&Ask::Number { writer, count: 200 });
    }
    for _ in 0..200 {
        turn.append_with_blocking(|tail| Ok(next(tail, 3)?)).unwrap();
    }
    for poster in &posters {
        assert_eq!(poster.answer(), Answer::Done);
    }
    turn.release_blocking().unwrap();
    assert_eq!(expect_numbered(&room), 800);
    room.expect_clean();
}

#[test]
fn a_poster_that_is_killed_leaves_no_gap_and_no_number_twice() {
    let room = room();
    fs::write(&room.session, "").unwrap();
    let mut lasting = child(&room);
    lasting.tell(&Ask::Number { writer: 0, count: 1000 });
    for writer in 1..=20 {
        let mut doomed = child(&room);
        doomed.tell(&Ask::Number { writer, count: u64::MAX });
        let has_written = || {
            let text = fs::read_to_string(&room.session).unwrap();
            text.contains(&format!("\"w\":{writer}}}"))
                || text.contains(&format!("\"w\":{writer},"))
        };
        until("the doomed one has written", has_written);
        doomed.kill();
    }
    assert_eq!(lasting.answer(), Answer::Done);
    // What a killed one has torn is sealed, and passed over.
    let text = fs::read_to_string(&room.session).unwrap();
    let whole: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (n, line) in whole.iter().enumerate() {
        assert_eq!(line["n"], n);
    }
    assert!(whole.len() >= 1020);
}

#[test]
fn a_line_that_is_not_made_is_not_written_and_lets_go() {
    let room = room();
    let sessions = buffered();
    let session = sessions.session(&room.session).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 0})).unwrap();
    let refuse = |_: &Tail<'_>| Err::<Value, _>("it does not want to".into());
    for refused in [turn.append_with_blocking(refuse), session.post_with_blocking(refuse)] {
        let error = refused.unwrap_err();
        assert_eq!((error.code(), error.path()), ("not-made", Some(turn.path())));
        assert!(error.to_string().contains("it does not want to"), "{error}");
    }
    let failed = turn.append_with_blocking(|_| {
        Err::<Value, _>(Error::Config { name: "n", reason: "none" }.into())
    });
    assert!(matches!(failed, Err(Error::Config { .. })), "{failed:?}");
    let panic = |_: &Tail<'_>| -> Made { panic!("on purpose") };
    assert!(catch_unwind(AssertUnwindSafe(|| turn.append_with_blocking(panic))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| session.post_with_blocking(panic))).is_err());
    assert_eq!(room.lines(), [json!({"n": 0})]);

    // The data lock is free, for others and for the turn itself.
    let mut other = child(&room);
    other.tell(&Ask::Number { writer: 1, count: 1 });
    assert_eq!(other.answer(), Answer::Done);
    turn.append_with_blocking(|tail| Ok(next(tail, 0)?)).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(expect_numbered(&room), 3);

    // A post that took the turn lock for itself lets go of that as well.
    assert!(session.post_with_blocking(refuse).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| session.post_with_blocking(panic))).is_err());
    other.acquire();
    other.release();
    room.expect_clean();
}

#[tokio::test]
async fn a_line_that_panics_in_a_task_ends_that_task_alone() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let turn = std::sync::Arc::new(session.turn().await.unwrap());
    let shared = std::sync::Arc::clone(&turn);
    let panic = |_: &Tail<'_>| -> Made { panic!("on purpose") };
    let task = tokio::spawn(async move { shared.append_with(panic).await });
    assert!(task.await.unwrap_err().is_panic());
    turn.append_with(|tail| Ok(next(tail, 0)?)).await.unwrap();
    turn.append_all_with(|tail| {
        let first = next(tail, 1)?;
        let n = first["n"].as_u64().unwrap_or(0);
        Ok(vec![first, json!({"n": n + 1})])
    })
    .await
    .unwrap();
    turn.close().await.unwrap();
    assert_eq!(expect_numbered(&room), 3);
    room.expect_clean();
}

#[test]
fn a_turn_that_is_lost_while_its_line_is_made_writes_nothing() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 0})).unwrap();
    let lock = turn.lock_path().to_owned();
    let lost = turn.append_with_blocking(move |_| {
        fs::remove_file(&lock)?;
        Ok(json!({"n": 1}))
    });
    assert!(matches!(lost, Err(Error::LockLost { cause: LostCause::Removed, .. })), "{lost:?}");
    assert_eq!(room.lines().len(), 1);
}

#[test]
fn a_line_sees_what_a_writer_without_a_lock_has_torn() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n{\"n\":1}\n{\"torn").unwrap();
    let session = buffered().session(&room.session).unwrap();
    let appended = session.post_with_blocking(|tail| {
        assert_eq!(tail.end(), 22);
        assert_eq!(tail.records::<Value>(5)?.len(), 2);
        Ok(next(tail, 7)?)
    });
    assert!(appended.unwrap().sealed);
    let text = fs::read_to_string(&room.session).unwrap();
    assert!(text.ends_with("{\"torn\n{\"n\":2,\"w\":7}\n"), "{text}");
}

#[test]
fn a_record_of_another_type_is_an_error_in_the_line_that_asks_for_it() {
    let room = room();
    fs::write(&room.session, "{\"n\":\"not a number\"}\n").unwrap();
    #[derive(Debug, serde::Deserialize)]
    struct Numbered {
        #[expect(dead_code)]
        n: u64,
    }
    let session = buffered().session(&room.session).unwrap();
    let refused = session.post_with_blocking(|tail| {
        let _last: Option<Numbered> = tail.last()?;
        Ok(json!({}))
    });
    assert_eq!(refused.unwrap_err().code(), "bad-record");
    assert_eq!(room.lines().len(), 1);
}

#[test]
fn a_post_behind_a_foreign_owner_makes_its_line_when_that_is_gone() {
    let room = room();
    fs::write(&room.session, "{\"n\":0}\n").unwrap();
    fs::write(&room.lock, foreign_record(std::process::id(), None)).unwrap();
    let session = buffered().session(&room.session).unwrap();
    std::thread::scope(|scope| {
        let post = scope.spawn(|| session.post_with_blocking(|tail| Ok(next(tail, 1)?)));
        until("the post waits", || turnlock::testing::waiters_here(&room.session) > 0);
        // The foreign owner writes, and ends.
        fs::write(&room.session, "{\"n\":0}\n{\"n\":1}\n").unwrap();
        fs::remove_file(&room.lock).unwrap();
        post.join().unwrap().unwrap();
    });
    assert_eq!(expect_numbered(&room), 3);
}

#[test]
fn what_uses_the_session_while_it_makes_a_line_is_refused_in_time() {
    let room = room();
    let sessions =
        turnlock::Sessions::builder().acquire_timeout(Duration::from_millis(50)).build().unwrap();
    let session = sessions.session(&room.session).unwrap();
    let turn = std::sync::Arc::new(session.turn().acquire_blocking().unwrap());
    let (same, other) = (std::sync::Arc::clone(&turn), session.clone());
    turn.append_with_blocking(move |_| {
        assert!(same.append_blocking(&json!({})).unwrap_err().is_busy());
        assert!(other.post_blocking(&json!({})).unwrap_err().is_busy());
        Ok(json!({"n": 0}))
    })
    .unwrap();
    assert_eq!(expect_numbered(&room), 1);
}

#[test]
fn lines_that_are_ready_are_written_wherever_they_are_to_go() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    let batch = Batch::of([json!({"n": 0}), json!({"n": 1})]).unwrap();
    turn.append_batch_blocking(&batch).unwrap();
    session.post_batch_blocking(&batch.durability(Durability::Sync)).unwrap();
    turn.append_json_blocking(b"{\n \"n\": 2}").unwrap();
    assert_eq!(turn.append_json_blocking(b"{\"n\": 2").unwrap_err().code(), "bad-line");
    turn.release_blocking().unwrap();
    let numbers = room.lines().iter().map(|line| line["n"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers, [0, 1, 0, 1, 2]);
    let read = session.read_blocking().unwrap();
    let ranges: Vec<_> = read.records_at::<Value>().map(|it| it.unwrap().0).collect();
    let text = fs::read(&room.session).unwrap();
    assert_eq!(ranges.len(), 5);
    for range in ranges {
        let record =
            &text[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        assert!(serde_json::from_slice::<Value>(record).is_ok());
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_its_line_is_made_writes_nothing() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let turn = std::sync::Arc::new(session.turn().await.unwrap());
    let shared = std::sync::Arc::clone(&turn);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let task = tokio::spawn(async move {
        let make = move |_: &Tail<'_>| -> Made {
            begun.send(()).map_err(|()| "nobody listens")?;
            may_go_on.recv()?;
            Ok(json!({"n": "late"}))
        };
        shared.append_with(make).await
    });
    has_begun.await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(turn);
    let mut other = child(&room);
    other.tell(&Ask::Acquire(60_000));
    let early = other.has_answered(Duration::from_millis(50));
    assert_eq!(early, None, "the line is still being made");
    go_on.send(()).unwrap();
    other.answered_held();
    other.append(json!({"n": 0}));
    other.release();
    assert_eq!(room.lines(), [json!({"n": 0})]);
    room.expect_clean();
}
