//! Records of gateways that take no kernel lock, as OpenClaw writes them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::rig::*;

/// A process that is called so.
fn process_called(name: &str) -> Running {
    let running =
        Running::start(Command::new("bash").args(["-c", &format!("exec -a {name} sleep 1000")]));
    eventually("it is called so", || {
        let line = std::fs::read(format!("/proc/{}/cmdline", running.pid())).ok()?;
        line.starts_with(name.as_bytes()).then_some(())
    });
    running
}

fn start_time(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
}

fn record(pid: i32, start_time: Option<u64>) -> Value {
    let mut record = json!({
        "pid": pid,
        "createdAt": humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string(),
        "configPath": "/x/openclaw.json", "ownerId": "c0ffee", "port": 18789, "stateDir": "/x",
    });
    if let Some(ticks) = start_time {
        record["startTime"] = ticks.into();
    }
    record
}

/// The locks that a gateway of this room takes.
fn locks(room: &Room) -> [PathBuf; 2] {
    let layout = turnlock::gateway::Layout::resolve(&room.state, None, None, true).unwrap();
    [layout.state_lock().to_owned(), layout.config_lock().to_owned()]
}

fn starts_despite(record: &Value) {
    let room = room();
    for lock in locks(&room) {
        std::fs::write(&lock, record.to_string()).unwrap();
        let mut running = Running::ready(&mut room.run_within("0s"));
        running.signal(rustix::process::Signal::TERM);
        assert!(running.wait().success());
        assert!(!lock.exists());
    }
}

fn respects(record: &Value) {
    let room = room();
    for lock in locks(&room) {
        std::fs::write(&lock, record.to_string()).unwrap();
        let refused = end(&mut room.run_within("100ms"));
        assert_eq!(refused.code, Some(75), "{refused:?}");
        let words =
            format!("gateway already running (pid {}); lock timeout after 100ms", record["pid"]);
        assert!(refused.err.contains(&words), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), record.to_string(), "left as it was");
        std::fs::remove_file(&lock).unwrap();
    }
}

#[test]
fn a_living_owner_is_respected() {
    let owner = process_called("openclaw-gateway");
    respects(&record(owner.pid(), Some(start_time(owner.pid()))));
    respects(&record(owner.pid(), None));
}

#[test]
fn a_dead_owner_is_not() {
    starts_despite(&record(1 << 29, Some(1)));
    starts_despite(&record(1 << 29, None));
}

#[test]
fn a_recycled_pid_is_no_owner() {
    let other = process_called("openclaw-gateway");
    starts_despite(&record(other.pid(), Some(start_time(other.pid()) - 1)));
}

#[test]
fn a_process_that_is_no_gateway_is_no_owner() {
    let other = process_called("postgres");
    starts_despite(&record(other.pid(), None));
}

#[test]
fn the_port_of_an_owner_who_does_not_live_is_not_believed() {
    let room = room();
    std::fs::write(room.state_lock(), record(1 << 29, Some(1)).to_string()).unwrap();
    let mut told = record(1 << 29, Some(1));
    told["port"] = room.port.into();
    std::fs::write(room.state_lock(), told.to_string()).unwrap();
    let status: Value = serde_json::from_str(&room.ask("status", &["--json"]).out).unwrap();
    assert_eq!(status["stateLock"]["port"], room.port);
    assert_eq!(status["address"], "127.0.0.1:18789", "{status}");
}
