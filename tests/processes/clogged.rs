//! A runtime whose blocking pool is full of those who wait for a turn.

use std::time::Duration;

use serde_json::json;
use tokio::task::{JoinHandle, spawn_blocking};
use turnlock::Sessions;
use turnlock_testing::{room, until};

use crate::sessions::buffered;

/// The size of the blocking pool.
const POOL: usize = 4;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(POOL)
        .enable_time()
        .build()
        .unwrap()
}

type Waits = Vec<JoinHandle<turnlock::Result<()>>>;

/// More threads than the pool has, which wait for the turn.
fn clog(sessions: &Sessions, session: &std::path::Path) -> Waits {
    let wait = || {
        let acquire = sessions.turn(session).timeout(Duration::from_secs(300));
        // Each lets it go itself: in which order they came to the queue nobody knows.
        spawn_blocking(move || acquire.acquire_blocking()?.release_blocking())
    };
    (0..2 * POOL).map(|_| wait()).collect()
}

#[test]
fn a_holder_works_on_while_threads_that_wait_for_it_fill_the_pool() {
    let room = room();
    let sessions = buffered();
    let runtime = runtime();
    runtime.block_on(async {
        let turn = sessions.turn(&room.session).acquire().await.unwrap();
        let waits = clog(&sessions, &room.session);
        // The pool is full: this one never begins before one of those has ended.
        let last = spawn_blocking(|| ());
        for n in 0..10 {
            turn.append(&json!({"n": n})).await.unwrap();
        }
        turn.rewrite([json!({"n": "all"})]).await.unwrap();
        turn.sync().await.unwrap();
        turn.repair().await.unwrap();
        // Others of this process work on as well.
        sessions.post(&room.session, &json!({"n": "posted"})).await.unwrap();
        let other = sessions.turn(room.dir.join("other.jsonl")).acquire().await.unwrap();
        other.release().await.unwrap();
        assert!(!last.is_finished() && waits.iter().all(|wait| !wait.is_finished()));
        turn.release().await.unwrap();
        for wait in waits {
            wait.await.unwrap().unwrap();
        }
        last.await.unwrap();
    });
    assert_eq!(room.lines(), [json!({"n": "all"}), json!({"n": "posted"})]);
    until("only sessions are left", || room.names().iter().all(|name| name.ends_with(".jsonl")));
}

#[test]
fn a_runtime_that_ends_with_a_full_pool_leaves_nobody_waiting() {
    let room = room();
    let sessions = buffered();
    let runtime = runtime();
    let (turn, waits) = runtime.block_on(async {
        let turn = sessions.turn(&room.session).acquire().await.unwrap();
        let waits = clog(&sessions, &room.session);
        for n in 0..100 {
            let (sessions, session) = (sessions.clone(), room.session.clone());
            tokio::spawn(async move { sessions.post(&session, &json!({"n": n})).await });
        }
        (turn, waits)
    });
    runtime.shutdown_background();
    turn.release_blocking().unwrap();
    drop(waits);
    sessions.turn(&room.session).acquire_blocking().unwrap().release_blocking().unwrap();
    room.expect_clean();
}
