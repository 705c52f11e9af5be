//! Acquires that are started and call back, without a runtime and without a thread each.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::json;
use turnlock::Error;
use turnlock::testing::waiters_here;
use turnlock_testing::{DEADLINE, alone, census, room, test_name, until};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

#[test]
fn a_thousand_wait_with_a_few_threads_and_are_served_in_order() {
    alone(&test_name!(), || {
        let room = room();
        let session = buffered().session(&room.session).unwrap();
        let mut holder = child(&room);
        holder.acquire();
        let before = census().0;
        let (sender, turns) = channel();
        let tickets: Vec<_> = (0..1000)
            .map(|n| {
                let sender = sender.clone();
                // One after the other, so that it is known who came first.
                let ticket = session.turn().no_timeout().start(move |turn| {
                    let turn = turn.unwrap();
                    turn.append_blocking(&json!({"n": n})).unwrap();
                    turn.release_blocking().unwrap();
                    sender.send(n).unwrap();
                });
                until("it waits", || waiters_here(&room.session) > n);
                ticket
            })
            .collect();
        assert!(census().0 <= before + 8, "{} threads, {before} before", census().0);
        holder.release();
        let served: Vec<_> = (0..1000).map(|_| turns.recv_timeout(DEADLINE).unwrap()).collect();
        assert_eq!(served.len(), 1000);
        let lines = room.lines();
        assert!(lines.iter().map(|line| line["n"].as_u64().unwrap()).eq(0..1000));
        assert!(tickets.iter().all(|ticket| !ticket.cancel()));
    });
}

#[test]
fn whoever_cancels_leaves_the_queue_and_is_not_called() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    let (sender, called) = channel();
    let start = || {
        let sender = sender.clone();
        session.turn().start(move |turn| sender.send(turn.map(drop)).unwrap())
    };
    let (first, second) = (start(), start());
    until("both wait", || waiters_here(&room.session) == 2);
    assert!(first.cancel());
    assert!(!first.cancel(), "once is enough");
    until("one waits", || waiters_here(&room.session) == 1);
    turn.release_blocking().unwrap();
    called.recv_timeout(DEADLINE).unwrap().unwrap();
    assert!(!second.cancel());
    drop(sender);
    let nobody = called.recv_timeout(Duration::from_millis(50));
    assert_ne!(nobody.err(), None);
    let mut other = child(&room);
    other.acquire();
    other.release();
    room.expect_clean();
}

#[test]
fn a_deadline_is_kept_and_a_callback_that_panics_lets_go() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let mut holder = child(&room);
    holder.acquire();
    let (sender, called) = channel();
    let ticket = session.turn().timeout(Duration::from_millis(30)).start(move |turn| {
        sender.send(turn.map(drop)).unwrap();
    });
    let refused = called.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    assert!(!ticket.cancel());
    let (sender, dropped) = channel::<()>();
    let _ticket = session.turn().start(move |_turn| {
        let _sender = sender;
        panic!("on purpose");
    });
    until("it waits", || waiters_here(&room.session) == 1);
    holder.release();
    assert_eq!(dropped.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
    holder.acquire();
    assert!(matches!(holder.ask(&Ask::Append(json!({}))), Answer::Appended { .. }));
    holder.release();
    room.expect_clean();
}

#[test]
fn a_cancel_at_any_moment_leaves_the_turn_to_others() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let (sender, called) = channel();
    let mut cancelled = 0;
    for n in 0..500 {
        let sender = sender.clone();
        let ticket = session.turn().start(move |turn| {
            turn.unwrap().release_blocking().unwrap();
            sender.send(()).unwrap();
        });
        for _ in 0..n {
            std::hint::spin_loop();
        }
        if ticket.cancel() {
            cancelled += 1;
        } else {
            called.recv_timeout(DEADLINE).unwrap();
        }
    }
    let turn = session.turn().acquire_blocking().unwrap();
    turn.release_blocking().unwrap();
    until("nobody waits", || waiters_here(&room.session) == 0);
    assert!(cancelled > 0);
    until("nothing is left", || room.names().is_empty());
}
