//! The queue, deadlines, cancellation, and what a turn leaves behind.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use turnlock::{Error, Sessions};
use turnlock_testing::{room, until};

use crate::sessions::buffered;

#[test]
fn a_turn_is_taken_written_under_and_released() {
    let room = room();
    let turn = buffered().turn(&room.session).label("reply").acquire_blocking().unwrap();
    assert!(room.lock.exists());
    let first = turn.append_blocking(&json!({"n": 1})).unwrap();
    let second = turn.append_all_blocking([json!({"n": 2}), json!({"n": 3})]).unwrap();
    assert_eq!((first.offset, first.bytes, second.offset, second.intervening), (0, 8, 8, 0));
    turn.release_blocking().unwrap();
    assert!(!room.lock.exists());
    assert_eq!(room.text(), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
}

#[test]
fn a_turn_that_writes_nothing_leaves_nothing() {
    let room = room();
    drop(buffered().turn(&room.session).acquire_blocking().unwrap());
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_second_acquire_waits_and_its_timeout_names_the_holder() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).label("the first").acquire_blocking().unwrap();
    let error = sessions
        .turn(&room.session)
        .timeout(Duration::from_millis(50))
        .acquire_blocking()
        .unwrap_err();
    let text = error.to_string();
    let expected =
        format!("session file locked (timeout 50ms): pid={} alive=true ageMs=", std::process::id());
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.contains("the first") && text.contains("this very process"), "{text}");
    assert!(matches!(sessions.turn(&room.session).try_acquire(), Err(Error::Timeout { .. })));
    drop(turn);
    sessions.turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
}

#[test]
fn threads_are_served_in_order_and_every_line_is_there() {
    let room = room();
    let sessions = buffered();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (sessions, room) = (&sessions, &room);
            scope.spawn(move || {
                for n in 0..200 {
                    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
                    turn.append_blocking(&json!({"w": writer, "n": n, "part": 1})).unwrap();
                    turn.append_blocking(&json!({"w": writer, "n": n, "part": 2})).unwrap();
                    if n % 2 == 0 {
                        turn.release_blocking().unwrap();
                    }
                }
            });
        }
    });
    let lines = room.lines();
    assert_eq!(lines.len(), 3200);
    for pair in lines.chunks(2) {
        assert_eq!((&pair[0]["w"], &pair[0]["n"]), (&pair[1]["w"], &pair[1]["n"]));
    }
    assert!(!room.lock.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_take_turns_and_posts_go_between() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire().await.unwrap();
    turn.append(&json!({"turn": 1})).await.unwrap();
    let mut posts = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (sessions, session) = (sessions.clone(), room.session.clone());
        posts.spawn(async move { sessions.post(&session, &json!({"post": n})).await.unwrap() });
    }
    posts.join_all().await;
    let appended = turn.append(&json!({"turn": 2})).await.unwrap();
    assert!(appended.intervening > 0);
    turn.release().await.unwrap();
    assert_eq!(room.lines().len(), 52);
    assert!(!room.lock.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiters_that_give_up_leave_nothing_behind() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire().await.unwrap();
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (sessions, session) = (sessions.clone(), room.session.clone());
        waiters.spawn(async move { sessions.turn(&session).acquire().await.map(drop) });
    }
    tokio::task::yield_now().await;
    waiters.abort_all();
    while waiters.join_next().await.is_some() {}
    turn.release().await.unwrap();
    let began = Instant::now();
    sessions.turn(&room.session).acquire().await.unwrap().release().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(!room.lock.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_hand_over_in_the_order_of_asking() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire().await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for n in 0..64 {
        let (sessions, session, count) =
            (sessions.clone(), room.session.clone(), Arc::clone(&count));
        let mut asked = Box::pin(async move {
            let turn = sessions.turn(&session).acquire().await.unwrap();
            assert_eq!(count.fetch_add(1, Ordering::SeqCst), n);
            turn.release().await.unwrap();
        });
        // The first poll starts the file work. Once that is done, a later poll finds the ticket in
        // the queue.
        while tokio::time::timeout(Duration::from_millis(2), &mut asked).await.is_ok() {}
        tasks.push(asked);
    }
    turn.release().await.unwrap();
    for task in tasks {
        task.await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 64);
}

#[test]
fn a_dead_owners_lock_is_stale_also_while_a_lost_turn_is_not_let_go() {
    let room = room();
    let sessions = buffered();
    let lost = sessions.turn(&room.session).acquire_blocking().unwrap();
    let record = fs::read_to_string(&room.lock).unwrap();
    // Somebody removes the lock file. Another process takes the session, and dies.
    fs::remove_file(&room.lock).unwrap();
    let dead = uuid::Uuid::now_v7();
    fs::write(&room.lock, record.replace(&lost.owner().to_string(), &dead.to_string())).unwrap();
    let report = sessions.status_of(&room.session).unwrap().unwrap();
    assert_eq!((report.state, report.holder.unwrap().alive), (turnlock::LockState::Stale, false));
    assert!(sessions.sweep(&room.dir).unwrap()[0].removed);
}

#[test]
fn a_turn_that_writes_nothing_and_leaves_its_lock_for_others_leaves_nothing_either() {
    let room = room();
    // Without marks a holder always leaves its lock file, and the keeper looks later.
    let sessions = Sessions::builder().portable(true).build().unwrap();
    drop(sessions.turn(&room.session).acquire_blocking().unwrap());
    until("the keeper has tidied up", || room.names().is_empty());
}
