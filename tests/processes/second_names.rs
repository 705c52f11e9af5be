//! Second names (hard links): of lock files, as `cp -al` makes them, and of sessions.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use turnlock::doctor::{Remedy, Treatment};
use turnlock::{Error, LockState, Sessions};
use turnlock_testing::strace::strace;
use turnlock_testing::{Room, foreign_record, in_a_namespace, room, test_name, until};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

/// Copies the room's directory as a snapshot tool does: each file gets a second name.
fn snapshot(room: &Room) -> tempfile::TempDir {
    let beside = tempfile::tempdir().unwrap();
    let copied =
        Command::new("cp").arg("-al").arg(&room.dir).arg(beside.path().join("snapshot")).status();
    assert!(copied.unwrap().success());
    beside
}

fn in_snapshot(snapshot: &tempfile::TempDir, name: &str) -> PathBuf {
    snapshot.path().join("snapshot").join(name)
}

fn links(path: &Path) -> u64 {
    fs::metadata(path).unwrap().nlink()
}

#[test]
fn a_holder_goes_on_while_its_lock_file_has_a_second_name() {
    let room = room();
    let mut holder = child(&room);
    let owner = holder.acquire();
    holder.append(json!({"n": 1}));
    let snapshot = snapshot(&room);
    assert_eq!(links(&room.lock), 2);
    holder.append(json!({"n": 2}));
    // A child of the holder, a poster, a waiter, and those who only look.
    let sessions = buffered();
    sessions.append_under_blocking(&room.session, owner, [json!({"n": 3})]).unwrap();
    sessions.post_blocking(&room.session, &json!({"n": 4})).unwrap();
    let busy = sessions.turn(&room.session).try_acquire().unwrap_err();
    assert!(
        matches!(&busy, Error::Timeout { holder: Some(it), .. } if it.owner == Some(owner)),
        "{busy}"
    );
    let report = sessions.status_of(&room.session).unwrap().unwrap();
    assert_eq!((report.state, report.error), (LockState::Held, None));
    let mut waiter = child(&room);
    waiter.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    holder.append(json!({"n": 5}));
    holder.release();
    waiter.answered_held();
    waiter.append(json!({"n": 6}));
    waiter.release();
    room.expect_clean();
    assert_eq!(room.lines(), (1..=6).map(|n| json!({ "n": n })).collect::<Vec<_>>());
    drop(snapshot);
}

#[test]
fn after_a_kill_the_next_one_takes_over_and_leaves_the_snapshot_alone() {
    for portable in [false, true] {
        let room = room();
        let mut holder = child(&room);
        holder.acquire();
        holder.append(json!({"n": 1}));
        let snapshot = snapshot(&room);
        let copy = in_snapshot(&snapshot, "s.jsonl.lock");
        let record = fs::read(&copy).unwrap();
        let mut waiters: Vec<_> = (0..3)
            .map(|_| Child::start(&room.session, How { portable, ..How::default() }))
            .collect();
        for waiter in &mut waiters {
            waiter.tell(&Ask::Turns { writer: 1, count: 20 });
        }
        room.until_waited_for(3);
        holder.kill();
        for waiter in &waiters {
            assert_eq!(waiter.answer(), Answer::Done);
        }
        assert_eq!(fs::read(&copy).unwrap(), record);
        assert_eq!(room.lines().len(), 121);
        room.expect_clean();
        // Without anybody who waits, too.
        let mut holder = child(&room);
        holder.acquire();
        let again = room.dir.join("again");
        fs::hard_link(&room.lock, &again).unwrap();
        holder.kill();
        let turn = buffered().turn(&room.session).try_acquire().unwrap();
        assert_eq!((links(&room.lock), links(&again)), (1, 1));
        turn.release_blocking().unwrap();
        fs::remove_file(again).unwrap();
        room.expect_clean();
    }
}

#[test]
fn two_reclaimers_of_a_lock_file_with_a_second_name_never_both_win() {
    let room = room();
    let witness = room.dir.join("witness");
    let mut children: Vec<_> = (0..4).map(|_| child(&room)).collect();
    for round in 0..100 {
        let mut dead = child(&room);
        dead.acquire();
        let link = room.dir.join("link");
        fs::hard_link(&room.lock, &link).unwrap();
        let waiters = round % 3;
        for child in &mut children[..waiters] {
            child.tell(&Ask::Meet(witness.clone()));
        }
        room.until_waited_for(waiters);
        dead.kill();
        for child in &mut children[waiters..] {
            child.tell(&Ask::Meet(witness.clone()));
        }
        for child in &children {
            assert_eq!(child.answer(), Answer::Done, "round {round}");
        }
        fs::remove_file(link).unwrap();
        room.expect_clean();
    }
    assert_eq!(room.lines().len(), 400);
}

#[test]
fn a_foreign_program_that_comes_between_keeps_its_lock() {
    let room = room();
    let mut dead = child(&room);
    dead.acquire();
    let link = room.dir.join("link");
    fs::hard_link(&room.lock, &link).unwrap();
    dead.kill();
    // Time for the other between the judgement and the exchange of the two files.
    let Some(through) = strace(&["inject=renameat2:delay_enter=500000"]) else { return };
    let mut late = Child::start(&room.session, How { through, ..How::default() });
    late.tell(&Ask::Acquire(0));
    until("it has made its lock file", || room.names().iter().any(|it| it.ends_with(".tmp")));
    let foreign = turnlock_testing::Sleeper::new("node");
    let record = foreign_record(foreign.pid(), None);
    room.put_lock(&record);
    let answer = late.answer();
    assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "timeout"), "{answer:?}");
    assert_eq!(fs::read_to_string(&room.lock).unwrap(), record);
    assert_eq!(room.names(), ["link", "s.jsonl", "s.jsonl.lock"]);
}

#[test]
fn a_foreign_record_under_two_names_is_respected_and_then_taken_over() {
    let room = room();
    let mut foreign = turnlock_testing::Sleeper::new("node");
    let record = foreign_record(foreign.pid(), None);
    room.put_lock(&record);
    let link = room.dir.join("link");
    fs::hard_link(&room.lock, &link).unwrap();
    assert!(matches!(buffered().turn(&room.session).try_acquire(), Err(Error::Timeout { .. })));
    foreign.kill();
    let turn = buffered().turn(&room.session).try_acquire().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(link).unwrap(), record);
}

#[test]
fn the_doctor_and_a_revoke_remove_one_name_of_a_lock_file() {
    let room = room();
    let sessions = buffered();
    let mut holder = child(&room);
    let owner = holder.acquire();
    let snapshot = snapshot(&room);
    assert_eq!(sessions.revoke(&room.session, owner).unwrap().owner, Some(owner));
    assert_eq!(holder.refused(&Ask::Append(json!({}))).0, "lock-lost");
    holder.acquire();
    let again = room.dir.join("again");
    fs::hard_link(&room.lock, &again).unwrap();
    holder.kill();
    let examination = sessions.doctor().fix(true).examine([&room.dir], |_, _| {});
    let fixed: Vec<_> = examination.findings.iter().map(|it| &it.treatment).collect();
    assert!(
        matches!(fixed[..], [Treatment::Done { remedy: Remedy::Remove, .. }]),
        "{examination:?}"
    );
    assert!(!room.lock.exists() && again.exists());
    assert!(in_snapshot(&snapshot, "s.jsonl.lock").exists());
}

#[test]
fn a_quarantine_with_a_second_name_gets_a_file_of_its_own() {
    let room = room();
    let damaged = "{\"a\":1}\n{\"torn";
    fs::write(&room.session, damaged).unwrap();
    let mut holder = child(&room);
    holder.acquire();
    assert_eq!(holder.ask(&Ask::Repair), Answer::Done);
    holder.release();
    let quarantine = room.dir.join("s.jsonl.damaged");
    let first = fs::read_to_string(&quarantine).unwrap();
    let snapshot = snapshot(&room);
    room.scrawl("{\"torn again");
    holder.acquire();
    assert_eq!(holder.ask(&Ask::Repair), Answer::Done);
    holder.release();
    let both = fs::read_to_string(&quarantine).unwrap();
    assert!(both.starts_with(&first) && both.len() > first.len(), "{both}");
    assert_eq!(fs::read_to_string(in_snapshot(&snapshot, "s.jsonl.damaged")).unwrap(), first);
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged"]);
}

/// A room whose session has a second name, `t.jsonl`.
fn two_names() -> (Room, PathBuf) {
    let room = room();
    fs::write(&room.session, "").unwrap();
    let other = room.dir.join("t.jsonl");
    fs::hard_link(&room.session, &other).unwrap();
    (room, other)
}

fn at(session: &Path) -> Child {
    Child::start(session, How::default())
}

#[test]
fn a_session_under_two_names_has_one_holder() {
    let (room, other_name) = two_names();
    let (mut one, mut other) = (child(&room), at(&other_name));
    one.acquire();
    one.append(json!({"n": 1}));
    let (kind, text) = other.refused(&Ask::Acquire(0));
    assert!(kind == "timeout" && text.contains("another name"), "{kind}: {text}");
    // Waited for, and had as soon as it is free.
    other.tell(&Ask::Acquire(60_000));
    assert_eq!(other.has_answered(Duration::from_millis(50)), None);
    one.append(json!({"n": 2}));
    one.release();
    other.answered_held();
    assert_eq!(one.refused(&Ask::Acquire(0)).0, "timeout");
    other.append(json!({"n": 3}));
    other.kill();
    one.acquire();
    one.append(json!({"n": 4}));
    one.release();
    assert_eq!(room.lines().len(), 4);
}

#[test]
fn under_two_names_turns_never_interleave() {
    let (room, other_name) = two_names();
    let witness = room.dir.join("witness");
    let mut children: Vec<_> =
        (0..4).map(|n| if n % 2 == 0 { child(&room) } else { at(&other_name) }).collect();
    for round in 0..50 {
        for child in &mut children {
            child.tell(&Ask::Meet(witness.clone()));
        }
        for child in &children {
            assert_eq!(child.answer(), Answer::Done, "round {round}");
        }
    }
    for (writer, child) in (0..).zip(&mut children) {
        child.tell(&Ask::Turns { writer, count: 50 });
    }
    for child in &children {
        assert_eq!(child.answer(), Answer::Done);
    }
    let lines = room.lines();
    assert_eq!(lines.len(), 200 + 400);
    for two in lines[200..].chunks(2) {
        assert_eq!(two[0]["owner"], two[1]["owner"]);
    }
}

#[test]
fn within_one_process_two_names_are_one_session_too() {
    let (room, other_name) = two_names();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    assert!(matches!(sessions.turn(&other_name).try_acquire(), Err(Error::Timeout { .. })));
    // A post goes between, under either name.
    sessions.post_blocking(&other_name, &json!({"n": 2})).unwrap();
    sessions.post_blocking(&room.session, &json!({"n": 3})).unwrap();
    turn.append_blocking(&json!({"n": 4})).unwrap();
    turn.release_blocking().unwrap();
    sessions.turn(&other_name).try_acquire().unwrap().release_blocking().unwrap();
    sessions.turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
    assert_eq!(room.lines().len(), 4);
}

#[test]
fn of_two_turns_that_were_separate_until_a_link_was_made_the_first_to_claim_goes_on() {
    let room = room();
    let other_name = room.dir.join("t.jsonl");
    for first_appends in [true, false] {
        let _ = fs::remove_file(&other_name);
        let (mut one, mut other) = (child(&room), at(&other_name));
        let owner = one.acquire();
        one.append(json!({"n": 1}));
        fs::hard_link(&room.session, &other_name).unwrap();
        let under = buffered();
        if first_appends {
            one.append(json!({"n": 2}));
            assert_eq!(other.refused(&Ask::Acquire(0)).0, "timeout");
            under.append_under_blocking(&room.session, owner, [json!({"n": 3})]).unwrap();
            one.release();
        } else {
            other.acquire();
            let (kind, text) = one.refused(&Ask::Append(json!({"n": 2})));
            assert!(kind == "lock-lost" && text.contains("another name"), "{kind}: {text}");
            let refused = under.append_under_blocking(&room.session, owner, [json!({"n": 3})]);
            assert!(matches!(refused, Err(Error::LockLost { .. })), "{refused:?}");
            other.append(json!({"n": 4}));
            other.release();
        }
    }
}

#[test]
fn whoever_rewrites_a_session_separates_its_names() {
    let (room, other_name) = two_names();
    let (mut one, mut other) = (child(&room), at(&other_name));
    one.acquire();
    one.append(json!({"n": 1}));
    assert_eq!(one.ask(&Ask::Rewrite(json!({"n": 2}))), Answer::Done);
    other.acquire();
    other.append(json!({"n": 3}));
    one.append(json!({"n": 4}));
    other.release();
    one.release();
    assert_eq!(room.lines(), [json!({"n": 2}), json!({"n": 4})]);
    assert_eq!(fs::read_to_string(other_name).unwrap(), "{\"n\":1}\n{\"n\":3}\n");
}

#[test]
fn a_session_that_is_mounted_by_itself_is_refused() {
    in_a_namespace(&test_name!(), || {
        let room = room();
        fs::write(&room.session, "{\"n\":1}\n").unwrap();
        let point = room.dir.join("inside/s.jsonl");
        fs::create_dir(point.parent().unwrap()).unwrap();
        fs::write(&point, "").unwrap();
        let words = |path: &Path| path.to_str().unwrap().to_owned();
        if !turnlock_testing::mount::mounted(&["--bind", &words(&room.session), &words(&point)]) {
            return;
        }
        let sessions = Sessions::new();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        for error in [
            sessions.turn(&point).try_acquire().map(drop).unwrap_err(),
            sessions.turn(&point).acquire_blocking().map(drop).unwrap_err(),
            sessions.post_blocking(&point, &json!({})).map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::NotASession { reason, .. } if reason.contains("mount")),
                "{error}"
            );
        }
        turn.release_blocking().unwrap();
        assert_eq!(turnlock::Transcript::open(&point).unwrap().lines().count(), 1);
        assert_eq!(room.lines().len(), 1);
        assert_eq!(turnlock_testing::names(point.parent().unwrap()), ["s.jsonl"]);
        // A directory that is mounted elsewhere is the same directory.
        let elsewhere = room.dir.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        assert!(turnlock_testing::mount::mounted(&[
            "--bind",
            &words(&room.dir),
            &words(&elsewhere)
        ]));
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        let busy = sessions.turn(elsewhere.join("s.jsonl")).try_acquire().map(drop);
        assert!(matches!(busy, Err(Error::Timeout { .. })), "{busy:?}");
        turn.release_blocking().unwrap();
    });
}

#[test]
fn a_position_that_outlives_its_turn_keeps_no_other_name_from_a_turn() {
    let room = room();
    fs::write(&room.session, "1\n").unwrap();
    let other = room.dir.join("t.jsonl");
    fs::hard_link(&room.session, &other).unwrap();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    let (sender, positions) = std::sync::mpsc::channel();
    turn.append_with_blocking(move |tail| {
        sender.send(tail.transcript().position())?;
        Ok(2)
    })
    .unwrap();
    let refused = sessions.turn(&other).try_acquire().map(drop);
    assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    let position = positions.recv().unwrap();
    turn.release_blocking().unwrap();
    let turn = sessions.turn(&other).try_acquire().unwrap();
    turn.rewrite_from_blocking(position, [0]).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "0\n2\n");
}

#[test]
fn a_rename_that_fails_keeps_the_session_from_turns_under_its_other_name() {
    let room = room();
    fs::write(&room.session, "1\n").unwrap();
    let other = room.dir.join("t.jsonl");
    fs::hard_link(&room.session, &other).unwrap();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.rename_to_blocking(room.dir.join("no/such")).unwrap_err();
    turn.rename_to_blocking(&other).unwrap_err();
    let refused = sessions.turn(&other).try_acquire().map(drop);
    assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    turn.append_blocking(&2).unwrap();
    turn.remove_blocking().unwrap();
    sessions.turn(&other).try_acquire().unwrap().release_blocking().unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "1\n2\n");
}
