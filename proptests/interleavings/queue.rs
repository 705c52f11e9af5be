//! The queue of door 1 in all interleavings that a scheduler can find: the library's own source, on
//! shuttle's locks.
//!
//! Checked: one holder at a time (I1); first come, first served (I8); a waiter that gave up, at
//! whatever moment, is never served and delays nobody; nobody is forgotten (I12); in the end the
//! queue is idle.
//!
//! `TURNLOCK_QUEUE_RUNS` sets the number of schedules that each scenario is run through (1,000).

mod door;
pub(crate) mod library;

use std::sync::Arc;
use std::time::Instant;

use shuttle::rand::Rng;
use shuttle::{future, thread};
use turnlock_testing::env::number;

use door::{Door, Outcome};
use library::mode::Mode;

fn check(scenario: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(scenario, number("TURNLOCK_QUEUE_RUNS", 1000));
}

/// Runs `waiter` in this many threads, and checks the door when all are done.
fn with_threads(
    count: usize,
    busy: usize,
    waiter: impl Fn(&Arc<Door>, usize) + Send + Sync + 'static,
) {
    let waiter = Arc::new(waiter);
    check(move || {
        let door = Door::new(busy);
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let (door, waiter) = (Arc::clone(&door), Arc::clone(&waiter));
                thread::spawn(move || waiter(&door, n))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        door.join_waiting_threads();
        door.assert_idle();
    });
}

#[test]
fn threads_are_served_one_at_a_time_in_order() {
    with_threads(4, 0, |door, n| {
        let ticket = door.join(n);
        assert_eq!(door.acquire(ticket, Mode::Blocking, None), Outcome::Served);
    });
}

#[test]
fn a_busy_kernel_is_waited_for_by_one_thread() {
    with_threads(3, 2, |door, n| {
        let ticket = door.join(n);
        assert_eq!(door.acquire(ticket, Mode::Blocking, None), Outcome::Served);
    });
}

#[test]
fn who_leaves_at_any_moment_delays_nobody() {
    with_threads(4, 1, |door, n| {
        let ticket = door.join(n);
        if n % 2 == 0 {
            drop(ticket);
        } else {
            assert_eq!(door.acquire(ticket, Mode::Blocking, None), Outcome::Served);
        }
    });
}

#[test]
fn deadlines_that_pass_at_any_moment_delay_nobody() {
    with_threads(4, 1, |door, n| {
        let ticket = door.join(n);
        // Under this scheduler a wait with a deadline may end at any time.
        let deadline = (n % 2 == 0).then(Instant::now);
        let outcome = door.acquire(ticket, Mode::Blocking, deadline);
        assert!(outcome == Outcome::Served || deadline.is_some());
    });
}

#[test]
fn all_who_wait_may_give_up() {
    with_threads(3, 2, |door, n| {
        let ticket = door.join(n);
        door.acquire(ticket, Mode::Blocking, Some(Instant::now()));
    });
}

#[test]
fn a_pause_that_nobody_needs_any_more_is_over() {
    with_threads(4, 6, |door, n| {
        let ticket = door.join(n);
        door.acquire(ticket, Mode::Blocking, (n < 3).then(Instant::now));
    });
}

#[test]
fn tasks_are_woken_and_may_be_cancelled_at_any_await() {
    check(|| {
        let door = Door::new(1);
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let door = Arc::clone(&door);
                future::spawn(async move {
                    let ticket = door.join(n);
                    door.acquire_async(ticket).await
                })
            })
            .collect();
        let cancelled = shuttle::rand::thread_rng().gen_range(0..4);
        tasks[cancelled].abort();
        future::block_on(async {
            for (n, task) in tasks.into_iter().enumerate() {
                let outcome = task.await;
                assert!(n == cancelled || matches!(outcome, Ok(Outcome::Served)));
            }
        });
        door.join_waiting_threads();
        door.assert_idle();
    });
}

#[test]
fn an_error_reaches_one_and_stops_nobody() {
    with_threads(3, 1, |door, n| {
        door.fail_once();
        let ticket = door.join(n);
        door.acquire(ticket, Mode::Blocking, None);
    });
}

#[test]
fn a_thread_that_cannot_be_had_is_told_to_one_and_stops_nobody() {
    with_threads(3, 2, |door, n| {
        door.have_no_thread_once();
        let ticket = door.join(n);
        door.acquire(ticket, Mode::Blocking, None);
    });
}

#[test]
fn waits_that_are_abandoned_go_on_elsewhere() {
    with_threads(4, 3, |door, n| {
        door.abandon_waits();
        let ticket = door.join(n);
        let deadline = (n % 2 == 0).then(Instant::now);
        let outcome = door.acquire(ticket, Mode::Blocking, deadline);
        assert!(outcome == Outcome::Served || deadline.is_some());
    });
}

#[test]
fn threads_that_end_with_a_panic_stop_nobody() {
    with_threads(4, 3, |door, n| {
        door.let_threads_panic();
        let ticket = door.join(n);
        let deadline = (n % 2 == 0).then(Instant::now);
        let outcome = door.acquire(ticket, Mode::Blocking, deadline);
        assert!(outcome == Outcome::Served || deadline.is_some());
    });
}
