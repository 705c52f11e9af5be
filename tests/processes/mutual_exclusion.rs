//! Many processes, one session: every line exactly once, and no turn inside another's.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::child::{Answer, Ask, Child, How, child};
use crate::room::{DEADLINE, Room, room};

#[test]
fn eight_processes_take_two_thousand_turns_each() {
    let room = room();
    let mut children: Vec<_> = (0..8).map(|_| child(&room)).collect();
    take_turns(&mut children, 2000);
    check(&room, 8, 2000);
    room.expect_clean();
}

#[test]
fn with_and_without_the_shortcuts_of_linux_they_share_a_session_all_the_same() {
    let room = room();
    let start = |n| Child::start(&room.session, How { portable: n % 2 == 0, ..How::default() });
    let mut children: Vec<_> = (0..6).map(start).collect();
    take_turns(&mut children, 200);
    check(&room, 6, 200);
    room.expect_clean();
}

/// The kernel wakes those who wait, but whoever runs already could be back at the lock before them (I8).
#[test]
fn a_process_that_asks_again_goes_behind_those_who_wait() {
    const ROUNDS: usize = 40;
    let room = room();
    let (mut first, mut second) = (child(&room), child(&room));
    let mut passed = 0;
    for _ in 0..ROUNDS {
        first.acquire();
        second.tell(&Ask::Acquire(60_000));
        room.until_waited_for(1);
        // Both at once, so that the release and the asking are as close together as can be.
        first.tell(&Ask::Release);
        first.tell(&Ask::Acquire(60_000));
        assert_eq!(first.answer(), Answer::Done);
        let (early, late) = if second_comes_first(&first, &second) {
            (&mut second, &mut first)
        } else {
            passed += 1;
            (&mut first, &mut second)
        };
        early.release();
        late.answered_held();
        late.release();
    }
    // On a busy machine a woken process may take longer to come than the other is patient.
    assert!(passed < ROUNDS / 4, "it passed the other {passed} times of {ROUNDS}");
    room.expect_clean();
}

fn second_comes_first(first: &Child, second: &Child) -> bool {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if let Some(answer) = second.has_answered(Duration::from_millis(1)) {
            assert!(matches!(answer, Answer::Held(_)), "{answer:?}");
            return true;
        }
        if let Some(answer) = first.has_answered(Duration::from_millis(1)) {
            assert!(matches!(answer, Answer::Held(_)), "{answer:?}");
            return false;
        }
    }
    panic!("neither has the turn");
}

fn take_turns(children: &mut [Child], count: u64) {
    for (writer, child) in (0..).zip(children.iter_mut()) {
        child.tell(&Ask::Turns { writer, count });
    }
    for child in children {
        assert_eq!(child.answer(), Answer::Done);
    }
}

/// Two lines to a turn, one right after the other, and each writer's turns in their order.
fn check(room: &Room, writers: usize, turns: usize) {
    let lines = room.lines();
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
