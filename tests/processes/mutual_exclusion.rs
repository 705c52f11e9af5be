//! Many processes, one session: every line exactly once, and no turn inside another's.

use std::time::Duration;

use serde_json::Value;
use turnlock_testing::room;

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

#[test]
fn eight_processes_take_two_thousand_turns_each() {
    let room = room();
    let mut children: Vec<_> = (0..8).map(|_| child(&room)).collect();
    take_turns(&mut children, 2000);
    check(&room.lines(), 8, 2000);
    room.expect_clean();
}

#[test]
fn with_and_without_the_shortcuts_of_linux_they_share_a_session_all_the_same() {
    let room = room();
    let start = |n| Child::start(&room.session, How { portable: n % 2 == 0, ..How::default() });
    let mut children: Vec<_> = (0..6).map(start).collect();
    take_turns(&mut children, 200);
    check(&room.lines(), 6, 200);
    room.expect_clean();
}

/// The kernel wakes the waiters, but a process that is running could be back at the lock before
/// them (I8).
#[test]
fn a_process_that_asks_again_goes_behind_those_who_wait() {
    const ROUNDS: usize = 100;
    let room = room();
    let (sessions, mut other) = (buffered(), child(&room));
    let mut passed = 0;
    for _ in 0..ROUNDS {
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        other.tell(&Ask::Acquire(60_000));
        room.until_waited_for(1);
        turn.release_blocking().unwrap();
        // The other keeps it until it is told to release: whoever gets it now has overtaken the
        // other.
        if let Ok(turn) =
            sessions.turn(&room.session).timeout(Duration::from_millis(10)).acquire_blocking()
        {
            passed += 1;
            turn.release_blocking().unwrap();
        }
        other.answered_held();
        other.release();
    }
    // On a busy machine a woken process may take longer to come than this one is patient.
    assert!(passed <= ROUNDS / 4, "it passed the other {passed} times of {ROUNDS}");
    room.expect_clean();
}

fn take_turns(children: &mut [Child], count: u64) {
    for (writer, child) in (0..).zip(children.iter_mut()) {
        child.tell(&Ask::Turns { writer, count });
    }
    for child in children {
        assert_eq!(child.answer(), Answer::Done);
    }
}

/// Each turn has two lines, one right after the other, and each writer's turns are in order.
pub fn check(lines: &[Value], writers: usize, turns: usize) {
    assert_eq!(lines.len(), writers * turns * 2);
    let mut next = vec![0; writers];
    for pair in lines.chunks(2) {
        assert_eq!((&pair[0]["part"], &pair[1]["part"]), (&Value::from(1), &Value::from(2)));
        assert_eq!(pair[0]["owner"], pair[1]["owner"]);
        let writer = pair[0]["w"].as_u64().unwrap() as usize;
        assert_eq!(pair[0]["n"], next[writer], "writer {writer}");
        next[writer] += 1;
    }
    assert!(next.iter().all(|&count| count == turns));
}
