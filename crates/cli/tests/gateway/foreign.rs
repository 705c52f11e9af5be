//! Records of gateways that take no kernel lock, as OpenClaw writes them.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};
use turnlock_testing::{NOBODY, Sleeper, ended, start_time_of};

use crate::rig::*;

fn record(pid: u32, start_time: Option<u64>) -> Value {
    let mut record = json!({
        "pid": pid,
        "createdAt": format!("{:.3}", jiff::Timestamp::now()),
        "configPath": "/x/openclaw.json", "ownerId": "c0ffee", "port": 18789, "stateDir": "/x",
    });
    if let Some(ticks) = start_time {
        record["startTime"] = ticks.into();
    }
    record
}

/// The locks that a gateway of this home takes.
fn locks(home: &Home) -> [PathBuf; 2] {
    let layout = turnlock::gateway::Layout::resolve(&home.state, None, None, true).unwrap();
    [layout.state_lock().to_owned(), layout.config_lock().to_owned()]
}

fn starts_despite(record: &Value) {
    let home = home();
    for lock in locks(&home) {
        std::fs::write(&lock, record.to_string()).unwrap();
        let mut running = ready(home.run_within("0s"));
        running.signal(Signal::TERM);
        assert!(running.wait().success());
        assert!(!lock.exists());
    }
}

fn respects(record: &Value) {
    let home = home();
    for lock in locks(&home) {
        std::fs::write(&lock, record.to_string()).unwrap();
        let refused = ended(home.run_within("100ms"));
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
    let owner = Sleeper::new("openclaw-gateway");
    respects(&record(owner.pid(), Some(start_time_of(owner.pid()))));
    respects(&record(owner.pid(), None));
}

#[test]
fn a_dead_owner_is_not() {
    starts_despite(&record(NOBODY, Some(1)));
    starts_despite(&record(NOBODY, None));
}

#[test]
fn a_recycled_pid_is_no_owner() {
    let other = Sleeper::new("openclaw-gateway");
    starts_despite(&record(other.pid(), Some(start_time_of(other.pid()) - 1)));
}

#[test]
fn a_process_that_is_no_gateway_is_no_owner() {
    let other = Sleeper::new("postgres");
    starts_despite(&record(other.pid(), None));
}

#[test]
fn an_owner_that_is_gone_is_looked_for_where_it_was() {
    let home = home();
    std::fs::write(home.state_lock(), record(NOBODY, Some(1)).to_string()).unwrap();
    let mut told = record(NOBODY, Some(1));
    told["port"] = home.port.into();
    std::fs::write(home.state_lock(), told.to_string()).unwrap();
    let status: Value = serde_json::from_str(&home.ask("status", &["--json"]).out).unwrap();
    assert_eq!(status["stateLock"]["port"], home.port);
    assert_eq!(status["address"], home.address().to_string(), "{status}");
}
