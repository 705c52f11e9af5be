//! Ending a gateway that was named, and nobody else.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::through;
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
    let stopped = home.ask("stop", &["--grace", "1500ms"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    for words in ["it is killed in 1 s unless", "killing it", "within 1s 500ms", "was killed"] {
        assert!(stopped.err.contains(words), "{words}: {stopped:?}");
    }
    assert!(began.elapsed() >= Duration::from_millis(1500));
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
            assert!(!starting.err.contains("gateway stop"), "{record}: {starting:?}");
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
        let advised = starting.err.contains(&format!(" --pid {pid}`"));
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

#[test]
fn one_that_has_to_write_something_first_gets_the_time() {
    let home = home();
    let (note, written) = (home.dir.path().join("pid"), home.dir.path().join("written"));
    let flush = format!("trap 'sleep 1.5; echo all > {}; exit 0' TERM; ", written.display());
    let mut running = ready(home.run(&["--", "sh", "-c", &(flush + &waiting(&note))]));
    pid_in(&note);
    let stopped = home.ask("stop", &[]);
    assert!(stopped.code == Some(0) && stopped.err.contains("it ended"), "{stopped:?}");
    assert_eq!(std::fs::read_to_string(written).unwrap(), "all\n");
    assert!(running.wait().success());
}

#[test]
fn without_a_pid_the_one_verified_owner_is_meant() {
    let home = home();
    let none = home.ask("stop", &[]);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.err.contains("no process has the gateway's locks"), "{none:?}");
    let mut running = ready(home.run(&[]));
    let stopped = home.ask("stop", &[]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(stopped.err.contains(&format!("pid {}: it ended", running.pid())), "{stopped:?}");
    assert!(running.wait().success());
    // One that only a record names is not meant.
    let agent = Sleeper::new("openclaw-gateway");
    let start = turnlock_testing::start_time_of(agent.pid());
    let record = format!(r#"{{"pid":{},"startTime":{start}}}"#, agent.pid());
    std::fs::write(home.state_lock(), record).unwrap();
    let refused = home.ask("stop", &[]);
    assert!(refused.code == Some(1) && refused.err.contains("does not prove"), "{refused:?}");
    assert!(lives(agent.pid()));
}

#[test]
fn two_owners_are_not_guessed_between() {
    let (a, b) = (home(), home());
    let (config, locks) = (text(&a.state.join("x.json")), text(a.dir.path()));
    let shared = ["--config", &config, "--lock-dir", &locks];
    let mut of_config = ready(a.run(&shared));
    let mut of_state = ready(b.run(&["--multi"]));
    let refused = b.ask("stop", &shared);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for running in [&of_config, &of_state] {
        assert!(refused.err.contains(&format!("pid {}", running.pid())), "{refused:?}");
    }
    let pid = of_state.pid().to_string();
    let meant = [&shared[..], &["--pid", &pid]].concat();
    assert_eq!(b.ask("stop", &meant).code, Some(0));
    assert!(of_state.wait().success() && !of_config.has_ended());
}

#[test]
fn a_gateway_is_restarted_if_there_is_one() {
    let home = home();
    let restart = || {
        let mut command = gateway(&["restart", "--port", &home.port.to_string(), "--state-dir"]);
        command.arg(&home.state);
        command
    };
    let mut first = ready(restart());
    let mut second = ready(restart());
    assert!(first.wait().success());
    let _third = ready(home.run(&["--replace"]));
    assert!(second.wait().success());
}

/// Whoever follows the advice is in another directory, and the paths need quotes.
#[test]
fn the_advice_of_a_refused_start_ends_the_gateway_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().canonicalize().unwrap().join("it's a state");
    std::fs::create_dir(&state).unwrap();
    let home = Home { dir, state, port: turnlock_testing::port::free_port() };
    for config in [&[][..], &["--config", "/tmp/c d.json"]] {
        let run = |more: &[&str]| home.run(&[config, more].concat());
        let mut first = ready(run(&[]));
        let refused = ended(run(&["--timeout", "0s"]));
        let advice = advised(&refused.err);
        assert_eq!(advice.len(), 2, "{refused:?}");
        let seen = follow(&advice[0]);
        assert!(seen.code == Some(0) && seen.out.contains("verified"), "{advice:?}: {seen:?}");
        let stopped = follow(&advice[1]);
        assert_eq!(stopped.code, Some(0), "{advice:?}: {stopped:?}");
        assert!(first.wait().success());
    }
    // So does that of a refused stop.
    let mut running = ready(home.run(&[]));
    let refused = stop(&home, 1);
    let seen = follow(&advised(&refused.err)[0]);
    assert!(seen.out.contains(&format!("pid {} (verified)", running.pid())), "{seen:?}");
    running.kill();
}

/// To itself a gateway in a container has another id than to the host.
#[test]
fn the_advice_on_the_host_ends_a_gateway_in_a_container() {
    let Some(container) = pid_namespace() else { return };
    let home = home();
    let mut running = ready(through(&container, &home.run(&[])));
    let refused = ended(home.run_within("0s"));
    assert!(refused.err.contains("already running (pid 1)"), "{refused:?}");
    let first = stop(&home, 1);
    assert!(first.code == Some(1) && first.err.contains("is not ended"), "{first:?}");
    let advice = advised(&refused.err);
    let seen = follow(&advice[0]);
    assert!(seen.out.contains(" here, pid 1 (verified)"), "{seen:?}");
    let stopped = follow(&advice[1]);
    assert_eq!(stopped.code, Some(0), "{advice:?}: {stopped:?}");
    running.wait();
    // The other way round it cannot be ended, and nothing is advised that would fail.
    let mut running = ready(home.run(&[]));
    let refused = ended(through(&container, &home.run_within("0s")));
    assert!(refused.err.contains("end it there"), "{refused:?}");
    assert!(!refused.err.contains("gateway stop"), "{refused:?}");
    running.kill();
}
