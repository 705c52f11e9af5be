//! Waits that are aimed anew: what was waited for has lost its name, or somebody keeps it locked
//! who will not let go.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use turnlock::{Error, Sessions};
use turnlock_testing::{
    Room, alone, census, flocked, kernel_waiters, room, test_name, threads_named, until,
};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

/// The session, locked shared, as by `flock -s`. It takes no more than the right to read.
fn read_locked(room: &Room) -> File {
    let file = File::open(&room.session).unwrap();
    flock(&file, FlockOperation::LockShared).unwrap();
    file
}

/// Puts a new file at the session's path, as a compaction does.
fn replace(room: &Room) {
    let beside = room.dir.join("beside");
    fs::write(&beside, "{\"compacted\":true}\n").unwrap();
    fs::rename(beside, &room.session).unwrap();
}

#[test]
fn a_post_goes_into_the_new_file_while_somebody_keeps_the_old_one_locked() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let mut poster = child(&room);
    let _reader = read_locked(&room);
    poster.tell(&Ask::Post(json!({"n": 1})));
    room.until_data_waited_for(1);
    replace(&room);
    assert!(matches!(poster.answer(), Answer::Appended { offset: 19, .. }));
    assert_eq!(room.lines(), [json!({"compacted": true}), json!({"n": 1})]);
}

#[test]
fn a_post_goes_into_the_new_file_after_the_old_one_was_removed() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let mut holder = child(&room);
    holder.acquire();
    let _reader = read_locked(&room);
    holder.tell(&Ask::Append(json!({"n": 1})));
    room.until_data_waited_for(1);
    fs::remove_file(&room.session).unwrap();
    let answer = holder.answer();
    // Whether a holder writes into a file that was made anew is not the matter here.
    assert!(!matches!(&answer, Answer::Failed(kind, _) if kind == "data-lock-busy"), "{answer:?}");
}

/// A process whose thread has the turn's lock, but not the data lock.
fn half_way(room: &Room) -> (crate::child::Child, File) {
    fs::write(&room.session, "{}\n").unwrap();
    let (mut holder, mut waiter) = (child(room), child(room));
    holder.acquire();
    waiter.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    let reader = read_locked(room);
    holder.kill();
    room.until_data_waited_for(1);
    (waiter, reader)
}

#[test]
fn a_turn_begins_on_the_new_file_while_somebody_keeps_the_old_one_locked() {
    let room = room();
    let (mut waiter, _reader) = half_way(&room);
    replace(&room);
    waiter.answered_held();
    waiter.append(json!({"n": 1}));
    waiter.release();
    buffered().turn(&room.session).acquire_blocking().unwrap().release_blocking().unwrap();
    assert_eq!(room.lines(), [json!({"compacted": true}), json!({"n": 1})]);
}

#[test]
fn nobody_keeps_the_turn_lock_while_the_data_lock_stays_busy() {
    let room = room();
    let (mut waiter, reader) = half_way(&room);
    let lock = File::open(&room.lock).unwrap();
    until("the turn lock is let go", || {
        flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
    });
    flock(&lock, FlockOperation::Unlock).unwrap();
    drop(reader);
    waiter.answered_held();
    waiter.append(json!({"n": 1}));
    waiter.release();
    room.expect_clean();
}

#[test]
fn who_keeps_the_data_lock_is_named_whichever_way_it_is_kept() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let limit = Duration::from_millis(100);
    let sessions = Sessions::builder().acquire_timeout(limit).build().unwrap();
    let posted = |how: &str| {
        let error = sessions.post_blocking(&room.session, &json!({})).unwrap_err();
        let Error::DataLockBusy { pid, .. } = error else { panic!("{error}") };
        assert_eq!(pid, Some(std::process::id()), "{error}");
        assert!(error.to_string().contains(how), "{error}");
        assert!(sessions.turn(&room.session).acquire_blocking().unwrap_err().is_busy());
    };
    let reader = read_locked(&room);
    posted("flock -s");
    drop(reader);
    let _writer = flocked(&room.session);
    posted("is inside an append");
}

#[test]
fn a_try_succeeds_after_a_revoke_though_the_lost_turn_lives() {
    for removed in [false, true] {
        let room = room();
        let sessions = buffered();
        let lost = sessions.turn(&room.session).acquire_blocking().unwrap();
        lost.append_blocking(&json!({"n": 1})).unwrap();
        if removed {
            fs::remove_file(&room.lock).unwrap();
        } else {
            sessions.revoke(&room.session, lost.owner()).unwrap();
        }
        let next = sessions.turn(&room.session).try_acquire().unwrap();
        let refused = lost.append_blocking(&json!({"n": "no"})).unwrap_err();
        assert!(matches!(refused, Error::LockLost { .. }), "{refused}");
        next.append_blocking(&json!({"n": 2})).unwrap();
        drop(lost);
        assert_eq!(next.lost().unwrap(), None);
        // It is held, and nobody is inside an append.
        let refused = sessions.turn(&room.session).try_acquire().unwrap_err();
        assert!(matches!(refused, Error::Timeout { .. }), "{refused}");
        next.release_blocking().unwrap();
        assert_eq!(room.lines(), [json!({"n": 1}), json!({"n": 2})]);
        room.expect_clean();
    }
}

#[tokio::test]
async fn a_task_that_tries_succeeds_after_a_revoke_though_the_lost_turn_lives() {
    let room = room();
    let sessions = buffered();
    let lost = sessions.turn(&room.session).acquire().await.unwrap();
    fs::remove_file(&room.lock).unwrap();
    let next = sessions.turn(&room.session).timeout(Duration::ZERO).acquire().await.unwrap();
    drop(lost);
    next.release().await.unwrap();
    room.expect_clean();
}

/// How many locks are taken from under a waiter in the next test.
const MANY: usize = 32;
/// The time in which a wait is aimed anew.
const AIMED_WITHIN: Duration = Duration::from_millis(500);

#[test]
fn waits_that_were_abandoned_cost_a_bounded_number_of_threads() {
    alone(&test_name!(), || {
        let room = room();
        fs::write(&room.session, "{}\n").unwrap();
        let record = {
            let _turn = buffered().turn(&room.session).acquire_blocking().unwrap();
            fs::read(&room.lock).unwrap()
        };
        let stuck = || {
            room.put_lock(&record);
            flocked(&room.lock)
        };
        let mut holders = vec![stuck()];
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let wait = Duration::from_secs(50);
                buffered().turn(&room.session).timeout(wait).acquire_blocking()
            });
            let (_, descriptors) = census();
            for _ in 0..MANY {
                // It is aimed at this one soon, unless it has come to look from time to time.
                let began = Instant::now();
                while kernel_waiters(&room.lock) == 0 && began.elapsed() < AIMED_WITHIN {
                    std::thread::yield_now();
                }
                holders.push(stuck());
            }
            let waiting = threads_named("turnlock-wait");
            assert!(waiting <= 20, "{waiting} threads wait");
            assert!(census().1 < descriptors + MANY + 30, "{} descriptors", census().1);
            fs::remove_file(&room.lock).unwrap();
            waiter.join().unwrap().unwrap().release_blocking().unwrap();
        });
        drop(holders);
        until("no thread waits any more", || threads_named("turnlock-wait") == 0);
        room.expect_clean();
    });
}
