//! Ending a gateway that was named, and nobody else.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use turnlock_testing::{Ended, NOBODY, Running, Sleeper, ended};

use crate::rig::*;

fn stop(home: &Home, pid: impl ToString) -> Ended {
    home.ask("stop", &["--pid", &pid.to_string()])
}

#[test]
fn the_owner_is_asked_and_ends() {
    let home = home();
    let mut running = ready(home.run(&[]));
    let stopped = stop(&home, running.pid());
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(stopped.err.contains("it ended; its port is free"), "{stopped:?}");
    assert!(running.wait().success());
    assert!(home.files().is_empty());
}

#[test]
fn an_owner_that_does_not_listen_to_reason_is_killed() {
    let home = home();
    let running = ready(home.run(&[]));
    running.signal(Signal::STOP);
    let began = Instant::now();
    let stopped = stop(&home, running.pid());
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(stopped.err.contains("was killed"), "{stopped:?}");
    assert!(began.elapsed() >= Duration::from_millis(700));
}

#[test]
fn nobody_else_is_ended() {
    let home = home();
    let mut stranger = Running::start(Command::new("sleep").arg("1000"));
    for pid in [stranger.pid().into(), -1, 0, NOBODY.into()] {
        let refused = stop(&home, pid);
        assert_eq!(refused.code, Some(if pid < 0_i64 { 2 } else { 1 }), "{refused:?}");
    }
    let _gateway = ready(home.run(&[]));
    let refused = stop(&home, stranger.pid());
    assert!(refused.err.contains("no lock of this gateway is held by it"), "{refused:?}");
    assert!(!stranger.has_ended());
}

#[test]
fn a_recorded_pid_that_another_process_has_by_now_is_not_ended() {
    let home = home();
    let mut stranger = Running::start(Command::new("sleep").arg("1000"));
    // A foreign record without a start time: the process may be the one, or not.
    let agent = Sleeper::new("openclaw-gateway");
    for (pid, record) in [
        (stranger.pid(), format!(r#"{{"pid":{},"startTime":1}}"#, stranger.pid())),
        (agent.pid(), format!(r#"{{"pid":{}}}"#, agent.pid())),
    ] {
        std::fs::write(home.state_lock(), record).unwrap();
        let refused = stop(&home, pid);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("is not ended"), "{refused:?}");
    }
    assert!(!stranger.has_ended());
}

/// A record is only text. Whoever may write into the directory could name any process in it.
#[test]
fn a_forged_record_ends_nobody() {
    let home = home();
    let agent = Sleeper::new("openclaw-gateway");
    let (pid, start) = (agent.pid(), turnlock_testing::start_time_of(agent.pid()));
    let foreign = format!(r#"{{"pid":{pid},"startTime":{start}}}"#);
    let ours = format!(
        r#"{{"pid":{pid},"starttime":{start},"protocol":"turnlock/1","owner":"{}"}}"#,
        uuid::Uuid::now_v7()
    );
    // The stranger's file, which names a process of root's; and one that is locked by the stranger.
    for (record, is_locked) in [(&foreign, false), (&ours, true), (&ours, false)] {
        std::fs::write(home.state_lock(), record).unwrap();
        let file = std::fs::File::open(home.state_lock()).unwrap();
        std::os::unix::fs::fchown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
        if is_locked {
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        }
        let refused = stop(&home, pid);
        assert_eq!(refused.code, Some(1), "{record}: {refused:?}");
        assert!(refused.err.contains("is not ended"), "{refused:?}");
        let replacing = ended(home.run(&["--replace", &pid.to_string(), "--timeout", "100ms"]));
        assert_eq!(replacing.code, Some(1), "{record}: {replacing:?}");
        assert!(replacing.err.contains("is not ended"), "{record}: {replacing:?}");
        // A lock of ours that nobody has is taken over. Of the others, nobody is told to end it.
        if is_locked || *record == foreign {
            let compared = refused.err.contains("compared were the time of its start");
            assert_eq!(compared, *record == foreign, "{record}: {refused:?}");
            let starting = ended(home.run_within("100ms"));
            assert_eq!(starting.code, Some(75), "{record}: {starting:?}");
            assert!(!starting.err.contains("stop --pid"), "{record}: {starting:?}");
            assert!(starting.err.contains("is not verified"), "{record}: {starting:?}");
        }
        let status = crate::command::json(&home.ask("status", &["--json"]).out);
        assert_ne!(status["stateLock"]["process"]["identity"], "verified", "{record}: {status}");
    }
    assert!(lives(pid));
}

/// A program that takes no kernel lock: it is believed if the lock file is its user's, and it has
/// that file open, and its command line can be a gateway's.
#[test]
fn a_foreign_gateway_is_verified_by_the_open_file() {
    for (name, has_it_open, owner, identity) in [
        ("openclaw-gateway", true, 0, "verified"),
        ("openclaw-gateway", false, 0, "unverified"),
        ("openclaw-gateway", true, NOBODY, "unverified"),
        ("postgres", true, 0, "unverified"),
    ] {
        let home = home();
        let file = std::fs::File::create_new(home.state_lock()).unwrap();
        let mut program = Command::new("sleep");
        program.arg0(name).arg("1000");
        if has_it_open {
            program.stdin(file.try_clone().unwrap());
        }
        let agent = Sleeper::of(program.spawn().unwrap());
        let (pid, start) = (agent.pid(), turnlock_testing::start_time_of(agent.pid()));
        let record = format!(r#"{{"pid":{pid},"startTime":{start}}}"#);
        std::fs::write(home.state_lock(), record).unwrap();
        std::os::unix::fs::fchown(&file, Some(owner), Some(owner)).unwrap();
        let status = crate::command::json(&home.ask("status", &["--json"]).out);
        let told = &status["stateLock"]["process"]["identity"];
        assert_eq!(told, identity, "{name}, {has_it_open}, {owner}: {status}");
        let starting = ended(home.run_within("100ms"));
        let advised = starting.err.contains(&format!("stop --pid {pid}"));
        assert_eq!(advised, identity == "verified", "{starting:?}");
    }
}

#[test]
fn a_gateway_replaces_the_one_that_it_names() {
    let home = home();
    let mut first = ready(home.run(&[]));
    let _second = ready(home.run(&["--replace", &first.pid().to_string()]));
    assert!(first.wait().success());
}
