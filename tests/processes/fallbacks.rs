//! The rules for systems without unnamed files and marks, forced on Linux: alone, and beside
//! processes that have both.

use std::time::{Duration, Instant};

use serde_json::json;
use turnlock_testing::strace::strace;
use turnlock_testing::{Room, room};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

fn start(room: &Room, portable: bool) -> Child {
    Child::start(&room.session, How { portable, ..How::default() })
}

/// A child on a filesystem like NFS, where a rename that does not replace is refused.
fn with_hard_links_only(room: &Room) -> Option<Child> {
    let through = strace(&["inject=renameat2:error=EINVAL"])?;
    Some(Child::start(&room.session, How { through, portable: true, ..How::default() }))
}

#[test]
fn where_a_rename_cannot_spare_what_stands_there_a_link_does() {
    let room = room();
    let Some(mut linking) = with_hard_links_only(&room) else { return };
    let mut other = start(&room, false);
    for n in 0..3 {
        linking.acquire();
        assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"], "no temporary file is left");
        assert_eq!(other.refused(&Ask::Acquire(0)).0, "timeout");
        linking.append(json!({"n": n}));
        linking.release();
        other.acquire();
        assert_eq!(linking.refused(&Ask::Acquire(0)).0, "timeout");
        other.release();
    }
    room.expect_clean();
}

/// Its maker died, or is still, between the link and the removal of the first name.
#[test]
fn a_lock_file_that_still_has_its_first_name_is_a_lock_file() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    let first = room.dir.join(".turnlock-first.tmp");
    std::fs::hard_link(&room.lock, &first).unwrap();
    let mut other = child(&room);
    assert_eq!(other.refused(&Ask::Acquire(0)).0, "timeout");
    holder.append(json!({"n": 1}));
    holder.kill();
    other.acquire();
    assert!(!first.exists());
    std::fs::hard_link(&room.lock, &first).unwrap();
    other.kill();
    assert!(buffered().sweep(&room.dir).unwrap()[0].removed);
    room.expect_clean();
}

#[test]
fn a_released_lock_file_goes() {
    let room = room();
    let mut child = start(&room, true);
    child.acquire();
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"], "no temporary file is left");
    child.append(json!({"n": 1}));
    child.release();
    room.expect_clean();
    child.acquire();
    assert_eq!(child.ask(&Ask::Drop), Answer::Done);
    room.expect_clean();
}

#[test]
fn a_turn_goes_from_one_kind_to_the_other() {
    for (first, second) in [(true, true), (true, false), (false, true)] {
        let room = room();
        let (mut one, mut other) = (start(&room, first), start(&room, second));
        one.acquire();
        for n in 0..20 {
            other.tell(&Ask::Acquire(60_000));
            room.until_waited_for(1);
            one.append(json!({"n": n}));
            one.release();
            other.answered_held();
            std::mem::swap(&mut one, &mut other);
        }
        one.release();
        let lines = room.lines();
        assert!(lines.iter().map(|line| line["n"].as_u64().unwrap()).eq(0..20));
        room.expect_clean();
    }
}

#[test]
fn eight_processes_of_both_kinds_make_one_lock_file_at_the_same_instant() {
    let room = room();
    let witness = room.dir.join("witness");
    let mut children: Vec<_> = (0..8).map(|n| start(&room, n % 2 == 0)).collect();
    for round in 0..100 {
        for child in &mut children {
            child.tell(&Ask::Meet(witness.clone()));
        }
        for child in &children {
            assert_eq!(child.answer(), Answer::Done, "round {round}");
        }
        room.expect_clean();
    }
    assert_eq!(room.lines().len(), 800);
}

#[test]
fn posts_go_beside_a_turn_of_either_kind() {
    for portable in [false, true] {
        let room = room();
        let (mut holder, mut poster) = (start(&room, portable), start(&room, !portable));
        holder.acquire();
        holder.append(json!({"n": 1}));
        assert_eq!(poster.ask(&Ask::Posts { writer: 1, count: 20 }), Answer::Done);
        holder.append(json!({"n": 2}));
        holder.release();
        assert_eq!(poster.ask(&Ask::Posts { writer: 1, count: 20 }), Answer::Done);
        assert_eq!(room.lines().len(), 42);
        room.expect_clean();
    }
}

#[test]
fn a_keeper_that_tidies_up_is_not_taken_for_a_holder() {
    let room = room();
    let mut other = start(&room, true);
    let mut refused = Vec::new();
    for round in 0..300u64 {
        other.acquire();
        // Without marks it leaves its lock file, and its keeper looks at it about 5 ms later.
        other.release();
        let released = Instant::now();
        while released.elapsed() < Duration::from_micros(4_600 + round % 60 * 10) {
            std::hint::spin_loop();
        }
        match buffered().turn(&room.session).try_acquire() {
            Ok(turn) => turn.release_blocking().unwrap(),
            Err(error) => refused.push(error.to_string()),
        }
    }
    // On a busy machine the keeper may be interrupted while it holds the data lock.
    assert!(refused.len() <= 3, "{refused:?}");
}
