//! Lines from processes that do not hold the turn, also while somebody else holds it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use turnlock::{Durability, Error, Sessions};
use turnlock_testing::{alone, room, test_name, threads_named, until};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

#[test]
fn posts_from_three_processes_during_a_long_turn_are_all_there_and_reported() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let before = turn.append_blocking(&json!({"turn": 1})).unwrap();
    let mut posters: Vec<_> = (0..3).map(|_| child(&room)).collect();
    for (writer, poster) in (0..).zip(&mut posters) {
        poster.tell(&Ask::Posts { writer, count: 200 });
    }
    for poster in &posters {
        assert_eq!(poster.answer(), Answer::Done);
    }
    let after = turn.append_blocking(&json!({"turn": 2})).unwrap();
    assert_eq!(after.intervening, after.offset - (before.offset + before.bytes));
    assert!(after.intervening > 600 * 10);
    assert_eq!(turn.append_blocking(&json!({"turn": 3})).unwrap().intervening, 0);
    turn.release_blocking().unwrap();

    let lines = room.lines();
    assert_eq!(lines.len(), 603);
    for writer in 0..3 {
        let numbers =
            lines.iter().filter(|line| line["w"] == writer).map(|line| line["n"].as_u64().unwrap());
        assert!(numbers.eq(0..200), "writer {writer}");
    }
    room.expect_clean();
}

#[test]
fn posts_go_between_the_turns_of_many() {
    let room = room();
    fs::write(&room.session, "").unwrap();
    let mut children: Vec<_> = (0..4).map(|_| child(&room)).collect();
    for (writer, child) in (0..).zip(&mut children) {
        let count = 300;
        let ask =
            if writer < 2 { Ask::Turns { writer, count } } else { Ask::Posts { writer, count } };
        child.tell(&ask);
    }
    for child in &children {
        assert_eq!(child.answer(), Answer::Done);
    }
    let lines = room.lines();
    assert_eq!(lines.len(), 2 * 600 + 2 * 300);
    let turns: Vec<_> = lines.iter().filter(|line| line["w"].as_u64() < Some(2)).collect();
    assert!(turns.chunks(2).all(|pair| pair[0]["owner"] == pair[1]["owner"]));
    room.expect_clean();
}

#[test]
fn a_post_does_not_create_a_session_unless_told_to() {
    let room = room();
    let sessions = buffered();
    let posted = sessions.post_blocking(&room.session, &json!({}));
    assert!(matches!(posted, Err(Error::NoSession { .. })), "{posted:?}");
    let posted = sessions.post_blocking(room.dir.join("no/such.jsonl"), &json!({}));
    assert!(matches!(posted, Err(Error::NoSession { .. })), "{posted:?}");
    assert_eq!(room.names(), [""; 0]);
    sessions.post_all_blocking(&room.session, [json!({"n": 1})], true).unwrap();
    assert_eq!(room.names(), ["s.jsonl"]);
    assert_eq!(room.lines(), [json!({"n": 1})]);
}

#[test]
fn six_hundred_posts_at_once_behind_a_stopped_poster_keep_their_deadlines() {
    alone(&test_name!(), || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(six_hundred_posts());
    });
}

async fn six_hundred_posts() {
    let room = room();
    let limit = Duration::from_secs(3);
    let sessions = Sessions::builder()
        .durability(Durability::Buffered)
        .acquire_timeout(limit)
        .build()
        .unwrap();
    let turn = sessions.turn(&room.session).acquire().await.unwrap();
    turn.append(&json!({"turn": 1})).await.unwrap();
    let mut poster = child(&room);
    assert_eq!(poster.ask(&Ask::LockData), Answer::Done);
    poster.stop();

    let began = Instant::now();
    let mut posts = tokio::task::JoinSet::new();
    for n in 0..600 {
        let (sessions, session) = (sessions.clone(), room.session.clone());
        posts.spawn(async move { sessions.post(&session, &json!({"post": n})).await });
    }
    // Meanwhile the runtime serves other tasks.
    let elsewhere = room.dir.join("other.jsonl");
    sessions.turn(&elsewhere).acquire().await.unwrap().append(&json!({})).await.unwrap();
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    let mut busy = 0;
    while let Some(posted) = posts.join_next().await {
        match posted.unwrap().unwrap_err() {
            Error::DataLockBusy { pid: Some(pid), .. } if pid == poster.pid() => busy += 1,
            // A disk may seem dead where six hundred wait for a processor.
            Error::NoAnswer { .. } => {}
            other => panic!("{other}"),
        }
    }
    assert!(busy > 0, "nobody was told who keeps the data lock");
    assert!(
        began.elapsed() >= limit && began.elapsed() < limit + Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert!(threads_named("turnlock-wait") <= 1, "one thread waits for all of them");

    // An append of the turn keeps its deadline too, and the release goes through.
    assert!(matches!(turn.append(&json!({"turn": 2})).await, Err(Error::DataLockBusy { .. })));
    let releasing = Instant::now();
    turn.release().await.unwrap();
    assert!(releasing.elapsed() < Duration::from_secs(5), "{:?}", releasing.elapsed());

    poster.signal(Signal::CONT);
    assert_eq!(poster.ask(&Ask::UnlockData), Answer::Done);
    sessions.post(&room.session, &json!({"post": "after"})).await.unwrap();
    assert_eq!(room.lines(), [json!({"turn": 1}), json!({"post": "after"})]);
    fs::remove_file(elsewhere).unwrap();
    room.expect_clean();
    until("no thread waits any more", || threads_named("turnlock-wait") == 0);
}

#[test]
fn posts_that_wait_for_a_stopped_poster_go_through_when_it_goes_on() {
    let room = room();
    fs::write(&room.session, "").unwrap();
    let (mut stopped, mut one, mut other) = (child(&room), child(&room), child(&room));
    assert_eq!(stopped.ask(&Ask::LockData), Answer::Done);
    stopped.stop();
    one.tell(&Ask::Posts { writer: 1, count: 10 });
    other.tell(&Ask::Turns { writer: 2, count: 10 });
    room.until_data_waited_for(2);
    stopped.kill();
    assert_eq!((one.answer(), other.answer()), (Answer::Done, Answer::Done));
    assert_eq!(room.lines().len(), 30);
    room.expect_clean();
}
