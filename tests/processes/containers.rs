//! Process ids that mean nothing: after a container's restart, recycled, of zombies, of other PID
//! namespaces.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use turnlock::{Error, LockState, Sessions};
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::{
    Contained, NOBODY, Room, Sleeper, foreign_record, foreign_record_of, room, start_time_of,
    state_of, until,
};

use crate::child::{Answer, Ask, Child, How};
use crate::sessions::buffered;

fn is_taken_over(room: &Room) {
    let turn = buffered().turn(&room.session).try_acquire().unwrap();
    turn.append_blocking(&json!({"taken": "over"})).unwrap();
    turn.release_blocking().unwrap();
    room.expect_clean();
}

#[test]
fn our_own_pid_written_by_an_earlier_life_is_orphaned() {
    let me = std::process::id();
    for start_time in [None, Some(start_time_of(me) - 1)] {
        let room = room();
        room.put_lock(foreign_record_of(me, start_time, Duration::from_secs(3600)));
        is_taken_over(&room);
    }
}

/// As in a Node program that has OpenClaw's own lock and this library in one process.
#[test]
fn our_own_pid_written_by_another_library_in_this_process_is_respected() {
    let me = std::process::id();
    let room = room();
    let record = foreign_record(me, Some(start_time_of(me)));
    room.put_lock(&record);
    let sessions = buffered();
    let error = sessions.turn(&room.session).try_acquire().unwrap_err();
    assert!(error.to_string().contains("another library in this very process"), "{error}");
    let reports = sessions.sweep(&room.dir).unwrap();
    assert!(reports[0].state == LockState::Foreign && !reports[0].removed, "{reports:?}");
    assert_eq!(std::fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");
    std::fs::remove_file(&room.lock).unwrap();
    is_taken_over(&room);
}

/// Of a version that records no start time. Who made the record since this process began is not
/// known, and its age decides.
#[test]
fn a_fresh_record_of_our_own_pid_without_start_time_is_respected_within_the_grace() {
    let room = room();
    room.put_lock(foreign_record(std::process::id(), None));
    let sessions = buffered();
    let sweep = || sessions.sweep(&room.dir).unwrap().pop().unwrap();
    assert!(sessions.turn(&room.session).try_acquire().is_err());
    let report = sweep();
    assert!(report.state == LockState::Fresh && !report.removed, "{report:?}");
    room.age_lock(Duration::from_secs(20));
    assert!(!sweep().removed);
    room.age_lock(Duration::from_secs(31));
    let report = sweep();
    assert!(report.removed && report.is_orphaned(), "{report:?}");
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

/// The same, under the name of a program that takes foreign locks.
fn contained_agent(room: &Room) -> Option<Child> {
    let rename = ["bash", "-c", r#"exec -a node "$0" "$@""#].map(String::from);
    let through = [pid_namespace()?, rename.to_vec()].concat();
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
    assert_eq!(kind, "timeout");
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
    assert_eq!(kind, "timeout");
    assert!(text.contains("alive=true") && text.contains("outside"), "{text}");
    assert_eq!(turn.lost().unwrap(), None);
    contained.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    turn.release_blocking().unwrap();
    contained.answered_held();
}

/// The lock of a foreign program in a container, looked at from outside: its pid means somebody
/// else here, or nobody.
#[test]
fn a_foreign_lock_from_a_container_is_respected_outside_while_its_owner_lives() {
    // A record with a start time is believed whatever the process's name; one without, by the name.
    for (name, with_start_time) in [("sleep", true), ("node", false)] {
        let room = room();
        let Some(mut owner) = Contained::new(name) else { return };
        let start_time = with_start_time.then(|| start_time_of(owner.outside()));
        let record = foreign_record(owner.inside(), start_time);
        room.put_lock(&record);

        let sessions = buffered();
        let error = sessions.turn(&room.session).try_acquire().unwrap_err();
        assert!(matches!(&error, Error::Timeout { holder: Some(it), .. } if it.alive), "{error}");
        assert!(error.to_string().contains(&format!("pid {} here", owner.outside())), "{error}");
        for reports in [sessions.status(&room.dir).unwrap(), sessions.sweep(&room.dir).unwrap()] {
            let [report] = &reports[..] else { panic!("{reports:?}") };
            assert!(report.state == LockState::Foreign && !report.removed, "{report:?}");
            let holder = report.holder.as_ref().unwrap();
            assert_eq!(holder.pid, Some(owner.inside().into()));
            assert_eq!(holder.host_pid, Some(owner.outside().into()));
        }
        // Not even for somebody who says that all is local: this one is seen to live.
        let local = Sessions::builder().assume_local(true).build().unwrap();
        assert!(local.turn(&room.session).try_acquire().is_err());
        assert_eq!(std::fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");

        owner.kill();
        is_taken_over(&room);
    }
}

#[test]
fn a_contained_namesake_that_cannot_be_the_owner_keeps_no_lock() {
    let Some(other) = Contained::new("sleep") else { return };
    let recycled = foreign_record(other.inside(), Some(start_time_of(other.outside()) - 1));
    let no_agent = foreign_record(other.inside(), None);
    for record in [recycled, no_agent] {
        let room = room();
        room.put_lock(record);
        is_taken_over(&room);
    }
}

/// The same process, from its own side, from another container, and from outside.
#[test]
fn a_contained_process_keeps_a_foreign_lock_whose_owner_it_cannot_see() {
    let room = room();
    let Some(mut contained) = contained(&room) else { return };
    let mut owner = Sleeper::new("sleep");
    let record = foreign_record(owner.pid(), Some(start_time_of(owner.pid())));
    room.put_lock(&record);
    let (kind, text) = contained.refused(&Ask::Acquire(50));
    assert_eq!(kind, "timeout", "{text}");
    assert!(text.contains("alive=unknown"), "{text}");
    assert!(text.contains("cannot be seen") && text.contains("--assume-local"), "{text}");
    assert_eq!(std::fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");
    // It has no way to learn of the owner's death. Outside, that is seen.
    owner.kill();
    contained.refused(&Ask::Acquire(0));
    is_taken_over(&room);
}

#[test]
fn what_an_earlier_life_of_a_container_left_blocks_nobody() {
    for with_start_time in [true, false] {
        let room = room();
        let Some(mut life) = contained_agent(&room) else { return };
        // Of its first process, whose id the first process of every life has.
        life.acquire();
        let start_time = room.record()["starttime"].as_u64().filter(|_| with_start_time);
        life.release();
        room.put_lock(foreign_record(1, start_time));
        drop(life);
        // Another program is no later life of this one.
        let Some(mut other) = contained(&room) else { return };
        assert_eq!(other.refused(&Ask::Acquire(0)).0, "timeout");
        let Some(mut next) = contained_agent(&room) else { return };
        next.acquire();
        next.append(json!({"n": 1}));
        next.release();
        room.expect_clean();
    }
}
