//! A disk that does not answer: it stops no other disk, no runtime, and no deadline.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use turnlock::{Durability, Sessions};
use turnlock_testing::disk::{Disk, Frozen, Kind};
use turnlock_testing::kernel::threads_stuck;
use turnlock_testing::silent::Silent;
use turnlock_testing::{
    Room, alone, census, in_a_namespace, kernel_waiters, names, room, test_name, until,
};

use crate::child::{Ask, Child, How, child};
use crate::sessions::buffered;

/// What an acquire on a frozen disk is allowed.
const LIMIT: Duration = Duration::from_millis(500);
/// What it may take longer than that.
const SLACK: Duration = Duration::from_secs(2);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn with_a_disk(test: &str, body: impl FnOnce(&Disk)) {
    in_a_namespace(test, || {
        if let Some(disk) = Disk::new(Kind::Ext4) {
            body(&disk);
        }
    });
}

fn one_turn(sessions: &Sessions, session: &Path) {
    let turn = sessions.turn(session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({})).unwrap();
    turn.release_blocking().unwrap();
}

/// Makes the keeper begin work on this disk that does not end: it removes a lock file that was left
/// for a waiter who has gone.
fn keep_the_keeper_busy(disk: &Disk, sessions: &Sessions) -> Frozen {
    let session = disk.point().join("left.jsonl");
    let turn = sessions.turn(&session).acquire_blocking().unwrap();
    let mut waiter = Child::start(&session, How::default());
    waiter.tell(&Ask::Acquire(60_000));
    until("it is waited for", || kernel_waiters(&lock_of(&session)) == 1);
    waiter.stop();
    let frozen = disk.freeze();
    turn.release_blocking().unwrap();
    waiter.kill();
    until("the keeper is stuck", || threads_stuck() > 0);
    frozen
}

fn lock_of(session: &Path) -> PathBuf {
    session.with_extension("jsonl.lock")
}

/// A waiter that has to be aimed anew is, within a time that shows that nothing stood in the way.
fn a_revoke_is_noticed(room: &Room) {
    let mut holder = child(room);
    let owner = holder.acquire();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| buffered().turn(&room.session).acquire_blocking());
        room.until_waited_for(1);
        holder.stop();
        buffered().revoke(&room.session, owner).unwrap();
        waiter.join().unwrap().unwrap().release_blocking().unwrap();
    });
}

#[test]
fn a_waiter_on_another_disk_is_aimed_anew() {
    with_a_disk(&test_name!(), |disk| {
        let room = room();
        let frozen = keep_the_keeper_busy(disk, &buffered());
        a_revoke_is_noticed(&room);
        drop(frozen);
        until("the lock file that was left is gone", || {
            !lock_of(&disk.point().join("left.jsonl")).exists()
        });
    });
}

#[test]
fn deadlines_hold_and_the_runtime_runs_on() {
    with_a_disk(&test_name!(), |disk| {
        let room = room();
        let sessions = buffered();
        let at = |n: usize| disk.point().join(format!("{n}.jsonl"));
        let runtime = runtime();
        runtime.block_on(async {
            for n in 0..20 {
                let turn = sessions.turn(at(n)).acquire().await.unwrap();
                turn.append(&json!({})).await.unwrap();
                turn.release().await.unwrap();
            }
            let frozen = disk.freeze();
            let stuck = stuck_at(&sessions, &at(0));
            while threads_stuck() == 0 {
                tokio::task::yield_now().await;
            }
            let began = Instant::now();
            let acquires: Vec<_> = (1..20)
                .map(|n| tokio::spawn(sessions.turn(at(n)).timeout(LIMIT).acquire()))
                .collect();
            // The other disk is used meanwhile.
            sessions.turn(&room.session).acquire().await.unwrap().release().await.unwrap();
            sessions.post_creating(&room.session, [json!({})]).await.unwrap();
            for acquire in acquires {
                let error = acquire.await.unwrap().unwrap_err();
                assert!(error.is_busy(), "{error}");
            }
            let took = began.elapsed();
            assert!(took >= LIMIT && took < LIMIT + SLACK, "{took:?}");
            drop(frozen);
            stuck.await.unwrap();
            // What came late was let go.
            for n in 0..20 {
                sessions.turn(at(n)).acquire().await.unwrap().release().await.unwrap();
            }
        });
        until("nothing is left", || {
            names(disk.point()).iter().all(|name| !name.ends_with(".lock"))
        });
    });
}

/// A task that waits for the frozen disk without limit.
fn stuck_at(sessions: &Sessions, session: &Path) -> tokio::task::JoinHandle<()> {
    let acquire = sessions.turn(session).no_timeout();
    tokio::spawn(async move { drop(acquire.acquire().await.unwrap()) })
}

#[test]
fn threads_keep_their_deadlines_while_one_is_stuck() {
    with_a_disk(&test_name!(), |disk| {
        let sessions = buffered();
        let at = |n: usize| disk.point().join(format!("{n}.jsonl"));
        (0..5).for_each(|n| one_turn(&sessions, &at(n)));
        let frozen = disk.freeze();
        std::thread::scope(|scope| {
            let stuck = scope.spawn(|| sessions.turn(at(0)).no_timeout().acquire_blocking());
            until("it is stuck", || threads_stuck() > 0);
            // Only what has been stuck for a while is known to be.
            std::thread::sleep(Duration::from_millis(100));
            let began = Instant::now();
            for n in 1..5 {
                let error = sessions.turn(at(n)).timeout(LIMIT).acquire_blocking().unwrap_err();
                assert!(error.is_busy(), "{error}");
            }
            let took = began.elapsed();
            assert!(took >= LIMIT && took < 4 * LIMIT + SLACK, "{took:?}");
            drop(frozen);
            stuck.join().unwrap().unwrap().release_blocking().unwrap();
        });
        (0..5).for_each(|n| one_turn(&sessions, &at(n)));
    });
}

#[test]
fn acquires_that_are_tried_again_and_again_cost_a_bounded_number_of_threads() {
    with_a_disk(&test_name!(), |disk| {
        let sessions = Sessions::builder().durability(Durability::Buffered).build().unwrap();
        let at = |n: usize| disk.point().join(format!("{n}.jsonl"));
        (0..40).for_each(|n| one_turn(&sessions, &at(n)));
        let frozen = disk.freeze();
        let threads = census().0;
        let runtime = runtime();
        runtime.block_on(async {
            for round in 0..3 {
                let acquires: Vec<_> = (0..40)
                    .map(|n| sessions.turn(at(n)).timeout(Duration::from_millis(100)).acquire())
                    .map(tokio::spawn)
                    .collect();
                for acquire in acquires {
                    let error = acquire.await.unwrap().unwrap_err();
                    assert!(error.is_busy(), "{round}: {error}");
                }
            }
        });
        let more = census().0 - threads;
        assert!(more < 60, "{more} threads are stuck");
        drop(frozen);
        drop(runtime);
        (0..40).for_each(|n| one_turn(&sessions, &at(n)));
    });
}

#[test]
fn a_disk_that_does_not_answer_is_named() {
    with_a_disk(&test_name!(), |disk| {
        let session = disk.point().join("s.jsonl");
        one_turn(&buffered(), &session);
        let frozen = disk.freeze();
        let (runtime, acquire) = (runtime(), buffered().turn(&session).timeout(LIMIT));
        let error = runtime.block_on(async { acquire.acquire().await.unwrap_err() });
        let text = error.to_string();
        assert_eq!(error.code(), "no-answer", "{text}");
        assert!(text.contains("s.jsonl") && text.contains("500ms"), "{text}");
        drop(frozen);
    });
}

/// The session was removed while it was empty. The child looks at the lock file to learn whether it
/// may make the session anew, and that look has the deadline, too.
#[test]
fn an_append_under_a_turn_whose_empty_session_was_removed_keeps_its_deadline() {
    alone(&test_name!(), || {
        let room = room();
        let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
        let owner = turn.owner();
        std::fs::remove_file(&room.session).unwrap();
        let sessions = Sessions::builder().durability(Durability::Buffered).acquire_timeout(LIMIT);
        let sessions = sessions.build().unwrap();
        // What the turn has seen is told to its children when it is lent.
        turn.with_lock_fd(|_| ());
        let runtime = runtime();
        let Some(silent) = Silent::new(&room.dir) else { return };
        let began = Instant::now();
        let append = || sessions.append_under(&room.session, owner, [json!({})]);
        let in_time = || tokio::time::timeout(LIMIT + SLACK, append());
        let error = runtime.block_on(async { in_time().await.unwrap().unwrap_err() });
        let took = began.elapsed();
        assert!(took >= LIMIT && took < LIMIT + SLACK, "{took:?}");
        let text = error.to_string();
        assert_eq!(error.code(), "no-answer", "{text}");
        assert!(error.is_busy() && text.contains("s.jsonl") && text.contains("500ms"), "{text}");
        assert!(!room.session.exists(), "nothing was made");
        drop(silent);
        runtime.block_on(async { append().await.unwrap() });
        assert_eq!(room.lines().len(), 1);
        turn.release_blocking().unwrap();
    });
}
