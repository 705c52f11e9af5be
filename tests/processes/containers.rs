//! Process ids that mean nothing: after a container's restart, recycled, of zombies, of other PID
//! namespaces.

use std::process::Command;

use serde_json::json;
use turnlock::{Error, LockState};
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::{
    NOBODY, Room, Sleeper, foreign_record, room, start_time_of, state_of, until,
};

use crate::child::{Answer, Ask, Child, How};
use crate::sessions::buffered;

fn is_taken_over(room: &Room) {
    let mut turn = buffered().turn(&room.session).try_acquire().unwrap();
    turn.append_blocking(&json!({"taken": "over"})).unwrap();
    turn.release_blocking().unwrap();
    room.expect_clean();
}

#[test]
fn our_own_pid_written_by_an_earlier_life_is_orphaned() {
    let me = std::process::id();
    for start_time in [None, Some(start_time_of(me)), Some(start_time_of(me) - 1)] {
        let room = room();
        room.put_lock(foreign_record(me, start_time));
        is_taken_over(&room);
    }
}

#[test]
fn our_own_record_of_an_earlier_life_is_taken_over() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let record = std::fs::read(&room.lock).unwrap();
    turn.release_blocking().unwrap();
    room.put_lock(record);
    is_taken_over(&room);
}

#[test]
fn a_dead_pid_and_a_recycled_one_are_taken_over() {
    let sleeper = Sleeper::new("sleep");
    let recycled = foreign_record(sleeper.pid(), Some(start_time_of(sleeper.pid()) - 1));
    for record in [foreign_record(NOBODY, None), foreign_record(NOBODY, Some(1)), recycled] {
        let room = room();
        room.put_lock(record);
        is_taken_over(&room);
    }
}

#[test]
fn a_zombie_is_dead() {
    let room = room();
    // Nobody waits for it before the end of the test.
    let mut zombie = Command::new("true").spawn().unwrap();
    until("it is a zombie", || state_of(zombie.id()) == Some('Z'));
    room.put_lock(foreign_record(zombie.id(), Some(start_time_of(zombie.id()))));
    is_taken_over(&room);
    zombie.wait().unwrap();
}

/// A child in a PID namespace of its own, as in a container; `None` where that is not allowed.
fn contained(room: &Room) -> Option<Child> {
    let through = pid_namespace()?;
    Some(Child::start(&room.session, How { through, ..How::default() }))
}

#[test]
fn a_holder_in_another_pid_namespace_is_respected_while_it_lives() {
    let room = room();
    let Some(mut holder) = contained(&room) else { return };
    let owner = holder.acquire();
    holder.append(json!({"n": 1}));
    let record = std::fs::read(&room.lock).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&record).unwrap()["pid"], 1);

    let sessions = buffered();
    let error = sessions.turn(&room.session).try_acquire().unwrap_err();
    assert!(
        matches!(&error, Error::Timeout { holder: Some(it), .. }
            if it.alive && it.owner == Some(owner)),
        "{error}"
    );
    let reports = sessions.sweep(&room.dir).unwrap();
    assert!(
        reports.len() == 1 && reports[0].state == LockState::Held && !reports[0].removed,
        "{reports:?}"
    );
    assert!(
        matches!(sessions.revoke_pid(&room.session, 1), Err(Error::NotTheHolder { .. })),
        "its pid is not ours"
    );
    assert_eq!(std::fs::read(&room.lock).unwrap(), record);
    sessions.post_blocking(&room.session, &json!({"n": 2})).unwrap();
    holder.append(json!({"n": 3}));

    holder.kill();
    until("the contained process is gone", || sessions.turn(&room.session).try_acquire().is_ok());
    assert_eq!(room.lines().len(), 3);
    room.expect_clean();
}

#[test]
fn containers_whose_processes_have_the_same_pid_take_turns() {
    let room = room();
    let (Some(mut one), Some(mut other)) = (contained(&room), contained(&room)) else { return };
    one.acquire();
    let (kind, text) = other.refused(&Ask::Acquire(0));
    assert_eq!(kind, "Timeout");
    assert!(text.contains("pid=1 alive=true") && !text.contains("this very process"), "{text}");
    other.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    one.release();
    other.answered_held();
    other.append(json!({"n": 1}));
    one.tell(&Ask::Turns { writer: 1, count: 200 });
    room.until_waited_for(1);
    other.release();
    other.tell(&Ask::Turns { writer: 2, count: 200 });
    assert_eq!((one.answer(), other.answer()), (Answer::Done, Answer::Done));
    assert_eq!(room.lines().len(), 801);
    room.expect_clean();
}

#[test]
fn a_contained_process_respects_a_holder_outside() {
    let room = room();
    let Some(mut contained) = contained(&room) else { return };
    let turn = buffered().turn(&room.session).label("outside").acquire_blocking().unwrap();
    let (kind, text) = contained.refused(&Ask::Acquire(0));
    assert_eq!(kind, "Timeout");
    assert!(text.contains("alive=true") && text.contains("outside"), "{text}");
    assert_eq!(turn.lost().unwrap(), None);
    contained.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    turn.release_blocking().unwrap();
    contained.answered_held();
}
