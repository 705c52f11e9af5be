//! Turns that made the session file and wrote nothing: the session file goes with the last of them,
//! and with it the data lock, a moment before the lock file (I14).

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use turnlock::Error;
use turnlock_testing::strace::strace;
use turnlock_testing::{kernel_waiters, room, until};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

/// What starts a child that is stopped after its first `unlink`.
fn stopped_after_unlink() -> Option<Vec<String>> {
    strace(&["trace=unlink,unlinkat", "inject=unlink,unlinkat:signal=SIGSTOP:when=1"])
}

#[test]
fn a_revoke_while_an_unused_session_file_goes_costs_nobody_a_fresh_lock() {
    let Some(through) = stopped_after_unlink() else { return };
    let room = room();
    let mut child = Child::start(&room.session, How { through, ..How::default() });
    let owner = child.acquire();
    let pid =
        rustix::process::Pid::from_raw(room.record()["pid"].as_i64().unwrap() as i32).unwrap();
    child.tell(&Ask::Release);
    until("the session file is gone, and the lock file not yet", || {
        room.names() == ["s.jsonl.lock"]
    });

    let sessions = buffered();
    let revoked = sessions.revoke(&room.session, owner);
    let next = sessions.turn(&room.session).try_acquire();
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(child.answer(), Answer::Done);
    if let Ok(turn) = &next {
        assert_eq!(
            turn.lost().unwrap(),
            None,
            "the one that let go has removed the lock of the next"
        );
    }
    assert!(matches!(revoked, Err(Error::NotTheHolder { .. })), "{revoked:?}");
    drop(next);
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    turn.release_blocking().unwrap();
    room.expect_clean();
}

/// The session file is made by the first of those who contend, and goes with the last of them.
#[test]
fn a_session_made_under_contention_goes_again_if_nobody_writes() {
    for portable in [false, true] {
        let room = room();
        let start = || Child::start(&room.session, How { portable, ..How::default() });
        let mut children = [start(), start(), start()];
        for _ in 0..20 {
            let (first, others) = children.split_first_mut().unwrap();
            first.acquire();
            others.iter_mut().for_each(|child| child.tell(&Ask::Acquire(60_000)));
            room.until_waited_for(2);
            first.release();
            // Which of them is served first is the kernel's choice.
            let mut waiting: Vec<_> = others.iter_mut().collect();
            until("both had a turn", || {
                waiting.retain_mut(|child| match child.has_answered(Duration::ZERO) {
                    None => true,
                    Some(Answer::Held(_)) => {
                        child.release();
                        false
                    }
                    Some(other) => panic!("{other:?}"),
                });
                waiting.is_empty()
            });
            until("nothing is left", || room.names().is_empty());
        }
    }
}

/// The keeper of the holder is faster than the waiter, which finds nothing, and makes the session
/// file before it can know that.
#[test]
fn a_waiter_that_comes_late_leaves_no_session_either() {
    for portable in [false, true] {
        let room = room();
        let start = || Child::start(&room.session, How { portable, ..How::default() });
        let (mut holder, mut waiter) = (start(), start());
        for _ in 0..3 {
            holder.acquire();
            waiter.tell(&Ask::Acquire(60_000));
            room.until_waited_for(1);
            waiter.stop();
            until("the signal has ended its wait", || kernel_waiters(&room.lock) == 0);
            holder.release();
            until("nothing is left for the waiter", || room.names().is_empty());
            waiter.signal(Signal::CONT);
            waiter.answered_held();
            waiter.release();
            until("nothing is left by the waiter", || room.names().is_empty());
        }
    }
}

#[test]
fn a_session_made_by_a_holder_that_was_killed_goes_with_the_next_turn_that_does_not_write() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    holder.kill();
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"]);
    buffered().turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_session_made_by_a_holder_that_was_killed_is_swept_with_its_lock() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    holder.kill();
    assert!(buffered().sweep(&room.dir).unwrap()[0].removed);
    assert_eq!(room.names(), [""; 0]);
}

/// An empty session that somebody else has put there is not ours to remove.
#[test]
fn an_empty_session_of_somebody_else_stays() {
    let room = room();
    for removed in [false, true] {
        if !removed {
            fs::write(&room.session, "").unwrap();
        }
        let mut holder = child(&room);
        holder.acquire();
        if removed {
            fs::remove_file(&room.session).unwrap();
            fs::write(&room.session, "").unwrap();
        }
        holder.kill();
        buffered().turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
        assert_eq!(room.names(), ["s.jsonl"]);
        fs::remove_file(&room.session).unwrap();
    }
}

/// A session that was written to is a session like any other, also if it is empty again.
#[test]
fn a_session_that_was_emptied_stays() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    fs::write(&room.session, "").unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["s.jsonl"]);
}
