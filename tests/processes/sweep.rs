//! The sweep at start-up: stale locks are removed, all others are kept and reported.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use turnlock::{LockReport, LockState, Reason};
use turnlock_testing::room::set_age;
use turnlock_testing::silent::Silent;
use turnlock_testing::{
    NOBODY, Room, Sleeper, alone, foreign_record, foreign_record_of, room, start_time_of,
    test_name, threads_named, until,
};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

fn put(room: &Room, name: &str, content: &str, age: Duration) {
    let path = room.dir.join(name);
    fs::write(&path, content).unwrap();
    set_age(&path, age);
}

fn sweep(room: &Room) -> Vec<LockReport> {
    buffered().sweep(&room.dir).unwrap()
}

#[track_caller]
fn found<'a>(reports: &'a [LockReport], name: &str) -> &'a LockReport {
    let named = |report: &&LockReport| report.lock.file_name().unwrap() == name;
    reports.iter().find(named).unwrap_or_else(|| panic!("{name} in {reports:?}"))
}

const NOW: Duration = Duration::ZERO;
const LONG_AGO: Duration = Duration::from_secs(3600);

#[test]
fn the_stale_go_and_the_rest_is_kept_and_reported() {
    let room = room();
    let living = Sleeper::new("node");
    let living_record = foreign_record(living.pid(), Some(start_time_of(living.pid())));
    let me = std::process::id();
    put(&room, "dead.jsonl.lock", &foreign_record(NOBODY, None), NOW);
    put(&room, "empty-fresh.jsonl.lock", "", NOW);
    put(&room, "empty-old.jsonl.lock", "", LONG_AGO);
    put(&room, "live.jsonl.lock", &living_record, NOW);
    let old_record = living_record
        .replace(&living_record[living_record.find("\"20").unwrap()..][..11], "\"2020-01-01");
    put(&room, "live-old.jsonl.lock", &old_record, LONG_AGO);
    put(&room, "malformed-fresh.jsonl.lock", "{\"pid\": 1", NOW);
    put(&room, "malformed-old.jsonl.lock", "{\"pid\": 1", LONG_AGO);
    put(&room, "own-pid.jsonl.lock", &foreign_record_of(me, None, LONG_AGO), NOW);
    put(&room, "own.jsonl.lock", &foreign_record(me, Some(start_time_of(me))), LONG_AGO);
    put(&room, "own-fresh.jsonl.lock", &foreign_record(me, None), NOW);
    fs::create_dir(room.dir.join("unreadable.jsonl.lock")).unwrap();
    put(&room, "other.lock", "", LONG_AGO);
    put(&room, "untouched.jsonl", "{}\n", LONG_AGO);
    let held = buffered().turn(room.dir.join("ours.jsonl")).acquire_blocking().unwrap();
    let mut other = Child::start(&room.dir.join("theirs.jsonl"), How::default());
    let owner = other.acquire();
    let mut killed = Child::start(&room.dir.join("killed.jsonl"), How::default());
    killed.acquire();
    killed.append(json!({"n": 1}));
    killed.kill();

    let reports = sweep(&room);
    let gone = [
        ("dead.jsonl.lock", Reason::DeadPid),
        ("empty-old.jsonl.lock", Reason::Empty),
        ("killed.jsonl.lock", Reason::DeadOwner),
        ("malformed-old.jsonl.lock", Reason::Malformed),
        ("own-pid.jsonl.lock", Reason::OrphanSelfPid),
    ];
    for (name, reason) in gone {
        let report = found(&reports, name);
        assert!(report.removed && report.reasons.first() == Some(&reason), "{report:?}");
        assert!(!room.dir.join(name).exists(), "{name}");
    }
    let kept = [
        ("empty-fresh.jsonl.lock", LockState::Fresh),
        ("live.jsonl.lock", LockState::Foreign),
        ("live-old.jsonl.lock", LockState::Foreign),
        ("malformed-fresh.jsonl.lock", LockState::Fresh),
        ("ours.jsonl.lock", LockState::Held),
        ("own-fresh.jsonl.lock", LockState::Fresh),
        ("own.jsonl.lock", LockState::Foreign),
        ("theirs.jsonl.lock", LockState::Held),
        ("unreadable.jsonl.lock", LockState::Unreadable),
    ];
    for (name, state) in kept {
        let report = found(&reports, name);
        assert!(!report.removed && report.state == state, "{report:?}");
        assert!(room.dir.join(name).exists(), "{name}");
    }
    assert_eq!(reports.len(), gone.len() + kept.len());
    assert_eq!(found(&reports, "live-old.jsonl.lock").reasons, [Reason::TooOld]);
    assert!(found(&reports, "unreadable.jsonl.lock").error.is_some());
    assert_eq!(found(&reports, "theirs.jsonl.lock").holder.as_ref().unwrap().owner, Some(owner));
    for name in ["other.lock", "untouched.jsonl"] {
        assert!(room.dir.join(name).exists(), "{name} is no business of ours");
    }
    assert!(!room.dir.join("dead.jsonl").exists(), "no session is made for a sweep's sake");

    assert_eq!(held.lost().unwrap(), None);
    held.release_blocking().unwrap();
    other.append(json!({"n": 1}));
    other.release();
}

/// Each of them takes a thread, which nobody can take back. They are remembered as long as they do
/// not return, and so is the mount.
#[test]
fn opens_that_do_not_return_take_no_thread_for_each_lock_and_call() {
    alone(&test_name!(), || {
        let room = room();
        for name in ["a", "b", "c", "d"] {
            put(&room, &format!("{name}.jsonl.lock"), &foreign_record(NOBODY, None), NOW);
        }
        let Some(silent) = Silent::new(&room.dir) else { return };
        let sessions = buffered();
        let unreadable = |reports: Vec<LockReport>| {
            let said = |report: &LockReport| report.error.as_ref().unwrap().contains("no answer");
            assert!(reports.len() == 4 && reports.iter().all(said), "{reports:?}");
        };
        unreadable(sessions.sweep(&room.dir).unwrap());
        // The others of its threads end.
        let two_are_left = || until("two are left", || threads_named("turnlock-sweep") == 2);
        two_are_left();
        let again = Instant::now();
        for _ in 0..3 {
            unreadable(sessions.sweep(&room.dir).unwrap());
            unreadable(sessions.status_all([&room.dir]).pop().unwrap().locks.unwrap());
            let examined = sessions.doctor().fix(true).examine([&room.dir], |_, _| {});
            assert_eq!(examined.remaining(), 4, "{examined:?}");
        }
        assert!(again.elapsed() < Duration::from_secs(5), "{:?}", again.elapsed());
        two_are_left();

        drop(silent);
        until("the opens returned", || threads_named("turnlock-sweep") == 0);
        let reports = sessions.sweep(&room.dir).unwrap();
        assert!(reports.iter().all(|report| report.removed), "{reports:?}");
    });
}

#[test]
fn a_directory_that_does_not_answer_stops_nobody() {
    alone(&test_name!(), || {
        let (hung, well) = (room(), room());
        let Some(silent) = Silent::directory(&hung.dir) else { return };
        put(&well, "dead.jsonl.lock", &foreign_record(NOBODY, None), NOW);
        for _ in 0..2 {
            let reports = buffered().status_all([&hung.dir, &well.dir]);
            let error = reports[0].locks.as_ref().unwrap_err().to_string();
            assert!(error.contains("no answer"), "{error}");
            assert_eq!(reports[1].locks.as_ref().unwrap().len(), 1);
        }
        until("one is left", || threads_named("turnlock-sweep") == 1);
        drop(silent);
        until("it returned", || threads_named("turnlock-sweep") == 0);
        assert!(buffered().status(&hung.dir).unwrap().is_empty());
    });
}

#[test]
fn a_look_changes_nothing() {
    let room = room();
    put(&room, "dead.jsonl.lock", &foreign_record(NOBODY, None), NOW);
    let mut holder = child(&room);
    holder.acquire();
    let before = room.names();
    let reports = buffered().status(&room.dir).unwrap();
    assert_eq!(found(&reports, "dead.jsonl.lock").state, LockState::Stale);
    let held = found(&reports, "s.jsonl.lock");
    assert_eq!((held.state, held.session()), (LockState::Held, room.session.clone()));
    assert_eq!(room.names(), before);
    assert_eq!(buffered().status_of(&room.session).unwrap().unwrap().state, LockState::Held);
    holder.release();
    assert!(buffered().status_of(&room.session).unwrap().is_none());
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let room = room();
    assert!(buffered().sweep(room.dir.join("no")).is_err());
}

#[test]
fn sweeps_beside_turns_disturb_nobody() {
    let room = room();
    let mut children: Vec<_> = (0..3).map(|_| child(&room)).collect();
    for (writer, child) in (0..).zip(&mut children) {
        child.tell(&Ask::Turns { writer, count: 500 });
    }
    for child in &children {
        loop {
            match child.has_answered(Duration::from_micros(100)) {
                None => drop(sweep(&room)),
                Some(answer) => break assert_eq!(answer, Answer::Done),
            }
        }
    }
    assert_eq!(room.lines().len(), 3000);
    room.expect_clean();
}
