//! `fork` without `exec` while a turn is held: the fork shares the descriptors, and so the locks,
//! but the turn is its parent's (I14).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork as fork_now};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use serde_json::json;
use turnlock::{Error, Sessions};
use turnlock_testing::{flocked, room};

use crate::child::{Answer, Ask, child};

/// Runs `work` in a fork, and waits for its end.
pub fn fork(work: impl FnOnce()) {
    if let Some(fork) = forked(work) {
        waitpid(fork, None).unwrap();
    }
}

/// Leaves a fork behind, which ends with its input.
pub fn fork_away() {
    forked(|| {
        let mut input = File::open("/dev/stdin").unwrap();
        input.read_to_end(&mut Vec::new()).unwrap();
    });
}

#[allow(
    unsafe_code,
    reason = "there is no safe fork: other threads, and the locks that they hold, are not in it"
)]
fn forked(work: impl FnOnce()) -> Option<nix::unistd::Pid> {
    // SAFETY: the child process has one thread that obeys; the only other one is the harness, which
    // waits for it.
    match unsafe { fork_now() }.unwrap() {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => {
            work();
            // The destructors and exit handlers are the parent's to run.
            rustix::process::kill_process(getpid(), rustix::process::Signal::KILL).unwrap();
            None
        }
    }
}

/// A copy of the descriptor that this process has of a file: the same open file description.
pub fn descriptor_of(path: &Path) -> File {
    let named = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let descriptor =
        named.filter(|fd| std::fs::read_link(fd).is_ok_and(|file| file == path)).last().unwrap();
    let number = descriptor.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let me = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    pidfd_getfd(me, number, PidfdGetfdFlags::empty()).unwrap().into()
}

#[test]
fn a_fork_can_do_nothing_with_the_turn_of_its_parent() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    holder.append(json!({"n": 1}));
    holder.tell(&Ask::InFork(vec![
        Ask::Append(json!("by the fork")),
        Ask::Lost,
        Ask::Acquire(60_000),
        Ask::Release,
        Ask::Post(json!({"n": 2})),
    ]));
    let refused = |answer| match answer {
        Answer::Failed(kind, text) => (kind, text),
        other => panic!("{other:?}"),
    };
    let (kind, text) = refused(holder.answer());
    assert!(kind == "lock-lost" && text.contains("this process is a fork of the holder"), "{text}");
    assert_eq!(holder.answer(), Answer::Cause(Some("forked".to_owned())));
    let began = Instant::now();
    let (kind, text) = refused(holder.answer());
    assert!(kind == "forked" && text.contains("fork without exec"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(30), "it waited for its deadline");
    assert_eq!(refused(holder.answer()).0, "lock-lost");
    assert!(matches!(holder.answer(), Answer::Appended { .. }), "a post is nobody's turn");
    assert_eq!(holder.answer(), Answer::Done, "the parent goes on");
    assert!(matches!(
        Sessions::new().turn(&room.session).try_acquire(),
        Err(Error::Timeout { .. })
    ));
    holder.append(json!({"n": 3}));
    holder.release();
    assert_eq!(room.text(), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    room.expect_clean();
}

#[test]
fn a_fork_does_not_end_the_section_of_its_parent() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    holder.append(json!({"n": 1}));
    assert_eq!(holder.ask(&Ask::EnterSection), Answer::Done);
    holder.tell(&Ask::InFork(vec![Ask::Append(json!("by the fork")), Ask::Release]));
    for _ in 0..2 {
        let answer = holder.answer();
        assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "lock-lost"), "{answer:?}");
    }
    assert_eq!(holder.answer(), Answer::Done);
    let other = File::open(&room.session).unwrap();
    assert!(
        flock(&other, FlockOperation::NonBlockingLockExclusive).is_err(),
        "the parent is inside an append"
    );
}

/// The threads that wait, and those that watch over waits, are not in a fork.
#[test]
fn a_fork_that_would_have_to_wait_fails_at_once() {
    let room = room();
    let (mut holder, mut child) = (child(&room), child(&room));
    holder.acquire();
    let data_lock = flocked(&room.session);
    // Its waiting thread is left in the parent.
    assert_eq!(child.refused(&Ask::Acquire(5)).0, "timeout");
    let began = Instant::now();
    child.tell(&Ask::InFork(vec![Ask::Acquire(60_000), Ask::Post(json!("by the fork"))]));
    for _ in 0..2 {
        let answer = child.answer();
        assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "forked"), "{answer:?}");
    }
    assert_eq!(child.answer(), Answer::Done, "the parent goes on");
    assert!(began.elapsed() < Duration::from_secs(30), "it waited for a deadline");
    drop(data_lock);
    holder.release();
    // What is free can be used.
    child.tell(&Ask::InFork(vec![
        Ask::Acquire(60_000),
        Ask::Append(json!({"n": 1})),
        Ask::Release,
    ]));
    child.answered_held();
    assert!(matches!(child.answer(), Answer::Appended { .. }));
    assert_eq!((child.answer(), child.answer()), (Answer::Done, Answer::Done));
    room.expect_clean();
}

/// The lock falls with the last process that has it. Until then a revoke helps.
#[test]
fn a_fork_that_outlives_the_holder_can_be_revoked() {
    let room = room();
    let mut holder = child(&room);
    let owner = holder.acquire();
    holder.append(json!({"n": 1}));
    assert_eq!(holder.ask(&Ask::Fork), Answer::Done);
    holder.signal(rustix::process::Signal::KILL);
    let sessions = Sessions::new();
    assert!(matches!(sessions.turn(&room.session).try_acquire(), Err(Error::Timeout { .. })));
    sessions.revoke(&room.session, owner).unwrap();
    let turn = sessions.turn(&room.session).try_acquire().unwrap();
    turn.append_blocking(&json!({"n": 2})).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(room.text(), "{\"n\":1}\n{\"n\":2}\n");
    room.expect_clean();
}
