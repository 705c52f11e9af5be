//! Notice of a lost turn, while its holder does something else.

use std::fs;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use serde_json::json;
use turnlock::{Error, LostCause, Turn};
use turnlock_testing::{DEADLINE, alone, census, room, test_name};

use crate::child::{Answer, Ask, child};
use crate::sessions::buffered;

fn cause(lost: &Error) -> LostCause {
    match lost {
        Error::LockLost { cause, .. } => *cause,
        other => panic!("{other:?}"),
    }
}

async fn until_lost(turn: &Turn) -> LostCause {
    let lost = tokio::time::timeout(DEADLINE, turn.until_lost()).await;
    cause(&lost.expect("it is noticed"))
}

#[tokio::test]
async fn a_turn_that_another_process_takes_is_noticed() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let mut other = child(&room);

    let turn = session.turn().await.unwrap();
    tokio::select! {
        biased;
        lost = turn.until_lost() => panic!("{lost}"),
        () = tokio::time::sleep(Duration::from_millis(120)) => {}
    }
    let (sender, told) = channel();
    turn.on_lost(move |lost| sender.send(cause(&lost)).unwrap());
    assert_eq!(other.ask(&Ask::Revoke(turn.owner())), Answer::Done);
    assert_eq!(until_lost(&turn).await, LostCause::Removed);
    assert_eq!(told.recv_timeout(DEADLINE), Ok(LostCause::Removed));
    // Also if it is asked for later.
    assert_eq!(until_lost(&turn).await, LostCause::Removed);
    let (sender, told) = channel();
    turn.on_lost(move |lost| sender.send(cause(&lost)).unwrap());
    assert_eq!(told.recv_timeout(DEADLINE), Ok(LostCause::Removed));
    drop(turn);

    let turn = session.turn().await.unwrap();
    fs::remove_file(turn.lock_path()).unwrap();
    other.acquire();
    assert!(matches!(until_lost(&turn).await, LostCause::Removed | LostCause::Replaced));
    other.release();
}

#[tokio::test]
async fn a_turn_that_is_closed_ends_the_wait_and_calls_nobody() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let turn = Arc::new(session.turn().await.unwrap());
    let (sender, told) = channel();
    turn.on_lost(move |lost| sender.send(cause(&lost)).unwrap());
    let waiting = tokio::spawn({
        let turn = Arc::clone(&turn);
        async move { until_lost(&turn).await }
    });
    // It is polled before the turn is closed.
    tokio::task::yield_now().await;
    turn.close().await.unwrap();
    turn.close().await.unwrap();
    assert_eq!(waiting.await.unwrap(), LostCause::Closed);
    assert!(told.recv().is_err(), "the callback is gone");
    let refused = turn.append(&json!({})).await;
    assert!(
        matches!(refused, Err(Error::LockLost { cause: LostCause::Closed, .. })),
        "{refused:?}"
    );

    // It does not borrow the turn.
    let turn = session.turn().await.unwrap();
    let lost = turn.until_lost();
    drop(turn);
    assert_eq!(cause(&lost.await), LostCause::Closed);
    room.expect_clean();
}

#[test]
fn three_hundred_watched_turns_take_a_thread_or_two() {
    alone(&test_name!(), || {
        let room = room();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let sessions = buffered();
        let session = |n: usize| sessions.session(room.dir.join(format!("{n}.jsonl"))).unwrap();
        let turns: Vec<_> =
            (0..300).map(|n| session(n).turn().acquire_blocking().unwrap()).collect();
        let before = census().0;
        let (sender, told) = channel();
        for (n, turn) in turns.iter().enumerate() {
            let sender = sender.clone();
            turn.on_lost(move |_| sender.send(n).unwrap());
        }
        for turn in &turns {
            fs::remove_file(turn.lock_path()).unwrap();
        }
        let mut lost: Vec<_> = turns.iter().map(|_| told.recv_timeout(DEADLINE).unwrap()).collect();
        let threads = census().0;
        lost.sort_unstable();
        assert!(lost.into_iter().eq(0..300));
        assert!(threads <= before + 4, "{threads} threads, {before} before");
        runtime.block_on(async {
            for turn in &turns {
                assert_eq!(until_lost(turn).await, LostCause::Removed);
            }
        });
    });
}

struct Unwoken;

impl Wake for Unwoken {
    fn wake(self: Arc<Self>) {}
}

/// A waker keeps a task in memory.
#[test]
fn a_wait_that_is_over_keeps_no_waker_while_others_wait() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let wakers = [(); 3].map(|()| Arc::new(Unwoken));
    let mut lasting = Box::pin(turn.until_lost());
    let mut short = Box::pin(turn.until_lost());
    let waker = |n: usize| Waker::from(Arc::clone(&wakers[n]));
    assert!(lasting.as_mut().poll(&mut Context::from_waker(&waker(0))).is_pending());
    assert!(short.as_mut().poll(&mut Context::from_waker(&waker(1))).is_pending());
    drop(short);
    // It has moved to another task.
    assert!(lasting.as_mut().poll(&mut Context::from_waker(&waker(2))).is_pending());
    let kept: Vec<_> = wakers.iter().map(|waker| Arc::strong_count(waker) - 1).collect();
    assert_eq!(kept, [0, 0, 1]);
    drop(lasting);
    assert_eq!(Arc::strong_count(&wakers[2]), 1);
}
