//! Turns and runtimes: drops inside and outside, shutdowns, long holds, and the keeper.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde_json::json;
use turnlock::{Error, Sessions};
use turnlock_testing::{alone, census, room, test_name, until};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

#[test]
fn a_turn_may_be_dropped_inside_a_runtime_or_outside() {
    let room = room();
    let sessions = buffered();
    let runtime = runtime();
    runtime.block_on(async {
        let turn = sessions.turn(&room.session).acquire().await.unwrap();
        turn.append(&json!({"n": 1})).await.unwrap();
        drop(turn);
        assert!(!room.lock.exists());
    });
    let inside = runtime.block_on(sessions.turn(&room.session).acquire()).unwrap();
    drop(runtime);
    assert_eq!(inside.lost().unwrap(), None);
    drop(inside);
    assert!(!room.lock.exists());
    sessions.turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
}

#[test]
fn a_drop_that_would_have_to_wait_is_the_keepers() {
    // By itself: what is counted are the turns of the whole process.
    alone(&test_name!(), || {
        let room = room();
        let sessions = buffered();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"n": 1})).unwrap();
        let mut poster = child(&room);
        assert_eq!(poster.ask(&Ask::LockData), Answer::Done);
        poster.stop();
        let dropped = Instant::now();
        drop(turn);
        assert!(dropped.elapsed() < Duration::from_secs(5), "{:?}", dropped.elapsed());
        until("the turn is released", || Sessions::held_by_this_process() == 0);
        poster.kill();
        sessions.turn(&room.session).acquire_blocking().unwrap().release_blocking().unwrap();
        room.expect_clean();
    });
}

#[test]
fn a_runtime_is_shut_down_promptly_while_tasks_wait() {
    alone(&test_name!(), || {
        let room = room();
        let mut holder = child(&room);
        holder.acquire();
        holder.append(json!({"n": 1}));
        assert_eq!(holder.ask(&Ask::LockData), Answer::Done);
        let sessions = buffered();
        let (threads, descriptors) = census();
        let runtime = runtime();
        for n in 0..100 {
            runtime.spawn(sessions.turn(&room.session).acquire());
            let (sessions, session) = (sessions.clone(), room.session.clone());
            runtime.spawn(async move { sessions.post(&session, &json!({"post": n})).await });
        }
        room.until_waited_for(1);
        room.until_data_waited_for(1);
        let down = Instant::now();
        drop(runtime);
        assert!(down.elapsed() < Duration::from_secs(5), "{:?}", down.elapsed());
        // The keeper, a lane of its, one thread that waits for the turn, one for the data lock.
        until("the runtime's threads are gone", || census().0 <= threads + 4);
        assert_eq!(holder.ask(&Ask::UnlockData), Answer::Done);
        holder.release();
        until("only the keeper is left", || census().0 <= threads + 1);
        until("the descriptors are closed", || census().1 <= descriptors);
        assert_eq!(room.lines(), [json!({"n": 1})]);
        room.expect_clean();
    });
}

#[test]
fn in_a_known_directory_an_uncontended_turn_is_had_and_released_at_the_first_poll() {
    // By itself: a slow disk operation of any task closes the fast path of the whole process.
    alone(&test_name!(), || {
        let room = room();
        let sessions = buffered();
        let mut context = Context::from_waker(Waker::noop());
        runtime().block_on(async {
            // The first acquires get to know the directory; later ones may meet a slow disk.
            until("a turn is had and released in place", || {
                let mut acquire = std::pin::pin!(sessions.turn(&room.session).acquire());
                let Poll::Ready(turn) = acquire.as_mut().poll(&mut context) else { return false };
                let mut release = std::pin::pin!(turn.unwrap().release());
                match release.as_mut().poll(&mut context) {
                    Poll::Ready(released) => released.is_ok(),
                    Poll::Pending => false,
                }
            });
        });
        until("nothing is left", || !room.lock.exists());
    });
}

#[test]
fn a_task_that_takes_turns_in_place_lets_other_tasks_run() {
    let room = room();
    let sessions = buffered();
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        let turn =
            async || sessions.turn(&room.session).acquire().await.unwrap().release().await.unwrap();
        // From the third on they are in place, unless the disk is slow.
        turn().await;
        turn().await;
        let ran = tokio::spawn(async {});
        for _ in 0..200 {
            turn().await;
        }
        assert!(ran.is_finished(), "the other task never runs");
    });
}

#[test]
fn what_needs_no_waiting_needs_no_timer() {
    let room = room();
    let sessions = buffered();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        for n in 0..5 {
            let turn = sessions.turn(&room.session).acquire().await.unwrap();
            turn.append(&n).await.unwrap();
            turn.release().await.unwrap();
            sessions.post(&room.session, &n).await.unwrap();
        }
    });
}

#[test]
fn outside_a_runtime_there_is_an_error_and_no_panic() {
    let room = room();
    let outside = || {
        let mut acquire = std::pin::pin!(buffered().turn(&room.session).acquire());
        let polled = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Err(Error::Runtime { .. }))), "{polled:?}");
        assert_eq!(room.names(), [""; 0]);
    };
    outside();
    // The first gets to know the filesystem, the second the directory. From then on no blocking
    // pool is needed.
    for _ in 0..2 {
        runtime().block_on(async {
            buffered().turn(&room.session).acquire().await.unwrap().release().await.unwrap()
        });
    }
    outside();

    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let mut append = std::pin::pin!(turn.append(&1));
    let polled = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(Error::Runtime { .. }))), "{polled:?}");
}

#[test]
fn a_long_hold_is_reported_once_and_not_taken_away() {
    let room = room();
    let (sender, reports) = channel();
    let max_hold = Duration::from_millis(20);
    let builder = Sessions::builder().max_hold(max_hold);
    let sessions =
        builder.on_long_hold(move |hold| sender.send(hold.clone()).unwrap()).build().unwrap();
    let turn = sessions.turn(&room.session).label("a long one").acquire_blocking().unwrap();
    let report = reports.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!((report.session.as_path(), report.owner), (turn.path(), turn.owner()));
    assert_eq!(report.label.as_deref(), Some("a long one"));
    assert!(report.held >= max_hold);
    assert!(reports.recv_timeout(max_hold * 10).is_err(), "once is enough");
    assert_eq!(turn.lost().unwrap(), None);
    turn.release_blocking().unwrap();

    // The next turn is reported by itself. That a short turn is not reported cannot be tested: on a
    // busy machine no turn is short for sure.
    let again = sessions.turn(&room.session).acquire_blocking().unwrap();
    assert_eq!(reports.recv_timeout(Duration::from_secs(30)).unwrap().owner, again.owner());
}

/// Nothing is held while a long hold is reported.
#[test]
fn a_report_of_a_long_hold_may_use_the_session() {
    let room = room();
    let (sender, posted) = channel();
    let session = room.session.clone();
    let sessions = Sessions::builder().max_hold(Duration::from_millis(20));
    let sessions = sessions.on_long_hold(move |hold| {
        let posting = Sessions::builder().acquire_timeout(Duration::from_secs(5)).build().unwrap();
        let post = posting.post_blocking(&session, &json!({"held": hold.owner}));
        let busy = posting.turn(&session).try_acquire();
        sender.send((post.is_ok(), busy.is_err())).unwrap();
    });
    let sessions = sessions.build().unwrap();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    assert_eq!(posted.recv_timeout(Duration::from_secs(30)).unwrap(), (true, true));
    turn.append_blocking(&json!({})).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(room.lines().len(), 2);
}

#[test]
fn a_report_that_panics_does_not_end_the_keeper() {
    let room = room();
    let sessions = Sessions::builder().max_hold(Duration::from_millis(1)).portable(true);
    let called = Arc::new(());
    let witness = Arc::downgrade(&called);
    let (sender, reported) = channel();
    let sessions = sessions.on_long_hold(move |_| {
        let _kept = &called;
        sender.send(()).unwrap();
        panic!("on purpose");
    });
    let sessions = sessions.build().unwrap();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    reported.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(witness.upgrade().is_some());
    // Without marks it is the keeper who removes the lock file.
    turn.release_blocking().unwrap();
    room.expect_clean();
}
