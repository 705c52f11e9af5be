//! Ending a gateway that was named, and nobody else.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::rig::*;

fn stop(room: &Room, pid: i32) -> Ended {
    room.ask("stop", &["--pid", &pid.to_string()])
}

#[test]
fn the_owner_is_asked_and_ends() {
    let room = room();
    let mut running = Running::ready(&mut room.run(&[]));
    let stopped = stop(&room, running.pid());
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(stopped.err.contains("it ended; its port is free"), "{stopped:?}");
    assert!(running.wait().success());
    assert!(room.files().is_empty());
}

#[test]
fn an_owner_that_does_not_listen_to_reason_is_killed() {
    let room = room();
    let running = Running::ready(&mut room.run(&[]));
    running.signal(Signal::STOP);
    let began = Instant::now();
    let stopped = stop(&room, running.pid());
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(stopped.err.contains("was killed"), "{stopped:?}");
    assert!(began.elapsed() >= Duration::from_millis(700));
}

#[test]
fn nobody_else_is_ended() {
    let room = room();
    let mut stranger = Running::start(Command::new("sleep").arg("1000"));
    for pid in [stranger.pid(), -1, 0, 1 << 29] {
        let refused = stop(&room, pid);
        assert_eq!(refused.code, Some(if pid < 0 { 2 } else { 1 }), "{refused:?}");
    }
    let _gateway = Running::ready(&mut room.run(&[]));
    let refused = stop(&room, stranger.pid());
    assert!(refused.err.contains("no lock of this gateway is held by it"), "{refused:?}");
    assert!(stranger.child.try_wait().unwrap().is_none());
}

#[test]
fn a_recorded_pid_that_another_process_has_by_now_is_not_ended() {
    let room = room();
    let mut stranger = Running::start(Command::new("sleep").arg("1000"));
    // A foreign record without a start time: the process may be the one, or not.
    let agent =
        Running::start(Command::new("bash").args(["-c", "exec -a openclaw-gateway sleep 1000"]));
    for (pid, record) in [
        (stranger.pid(), format!(r#"{{"pid":{},"startTime":1}}"#, stranger.pid())),
        (agent.pid(), format!(r#"{{"pid":{}}}"#, agent.pid())),
    ] {
        std::fs::write(room.state_lock(), record).unwrap();
        let refused = stop(&room, pid);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("is not ended"), "{refused:?}");
    }
    assert!(stranger.child.try_wait().unwrap().is_none());
}

#[test]
fn a_gateway_replaces_the_one_that_it_names() {
    let room = room();
    let mut first = Running::ready(&mut room.run(&[]));
    let _second = Running::ready(&mut room.run(&["--replace", &first.pid().to_string()]));
    assert!(first.wait().success());
}
