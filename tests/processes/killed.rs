//! Holders and waiters that die with SIGKILL.

use std::time::{Duration, Instant};

use serde_json::json;
use turnlock_testing::{Room, kernel_waiters, room, until};

use crate::child::{Ask, Child, How, child};
use crate::sessions::buffered;

#[test]
fn when_the_holder_is_killed_the_next_waiter_has_the_turn_at_once() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    for n in 0..20 {
        holder.append(json!({"n": n}));
        let mut next = child(&room);
        next.tell(&Ask::Acquire(60_000));
        room.until_waited_for(1);
        let killed = Instant::now();
        holder.kill();
        next.answered_held();
        // Generous: the point is that nobody waits for a poll, a grace or a timeout.
        assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
        holder = next;
    }
    holder.release();
    assert_eq!(room.lines().len(), 20);
    room.expect_clean();
}

#[test]
fn a_lock_left_with_no_waiter_is_taken_over_at_the_first_try() {
    for portable in [false, true] {
        let room = room();
        let mut holder = Child::start(&room.session, How { portable, ..How::default() });
        holder.acquire();
        holder.append(json!({"n": 1}));
        holder.kill();
        assert!(room.lock.exists());
        let turn = buffered().turn(&room.session).try_acquire().unwrap();
        turn.append_blocking(&json!({"n": 2})).unwrap();
        turn.release_blocking().unwrap();
        assert_eq!(room.lines().len(), 2);
        room.expect_clean();
    }
}

#[test]
fn a_killed_waiter_is_forgotten() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let mut waiter = child(&room);
    waiter.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    waiter.kill();
    turn.release_blocking().unwrap();
    assert!(!room.lock.exists(), "nobody waits: the lock file is gone with the release");
}

#[test]
fn a_waiter_that_gives_up_during_the_hand_over_leaves_no_lock_file() {
    for portable in [false, true] {
        let room = room();
        let mut holder = Child::start(&room.session, How { portable, ..How::default() });
        let mut waiter = Child::start(&room.session, How { portable, ..How::default() });
        holder.acquire();
        waiter.tell(&Ask::Acquire(60_000));
        room.until_waited_for(1);
        // It can no longer take what it is given.
        waiter.stop();
        holder.release();
        waiter.kill();
        expect_gone_or_taken(&room);
    }
}

/// The kernel may give the lock to the stopped waiter first. Then the file is stale, and the next
/// turn removes it.
fn expect_gone_or_taken(room: &Room) {
    let mut gone = false;
    until("the lock file is gone, or free", || {
        gone = !room.lock.exists();
        gone || kernel_waiters(&room.lock) == 0
    });
    if !gone {
        buffered().turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
    }
    room.expect_clean();
}

#[test]
fn waiters_that_run_out_of_time_at_the_moment_of_the_hand_over_leave_no_lock_file() {
    let room = room();
    let mut waiter = child(&room);
    let sessions = buffered();
    for round in 0..100u64 {
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        waiter.tell(&Ask::Acquire(8 + round % 7));
        while turn.held_for() < Duration::from_millis(10) {
            std::hint::spin_loop();
        }
        turn.release_blocking().unwrap();
        if matches!(waiter.answer(), crate::child::Answer::Held(_)) {
            waiter.release();
        }
        until("the lock file is gone", || !room.lock.exists());
    }
}
