//! The container that is started again: the same process id in a new PID namespace.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::rig::*;

#[test]
fn killed_and_started_again_with_the_same_pid_fifty_times_without_delay() {
    if !may_unshare() {
        return;
    }
    let room = room();
    let mut longest = Duration::ZERO;
    for round in 0..50 {
        let run = room.run(&[]);
        let mut container = Command::new("unshare");
        container
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(run.get_program())
            .args(run.get_args());
        let began = Instant::now();
        let mut running = Running::ready(&mut container);
        longest = longest.max(began.elapsed());
        let record: serde_json::Value =
            serde_json::from_str(std::fs::read_to_string(room.state_lock()).unwrap().trim())
                .unwrap();
        assert_eq!(record["pid"], 1, "round {round}");
        if round == 0 {
            let status: serde_json::Value =
                serde_json::from_str(&room.ask("status", &["--json"]).out).unwrap();
            assert_eq!(status["stateLock"]["state"], "held");
            assert_eq!(status["stateLock"]["process"]["identity"], "elsewhere", "{status}");
        }
        running.child.kill().unwrap();
        running.ended();
    }
    // Against the 5 s that a gateway may wait for its locks.
    assert!(longest < Duration::from_secs(3), "{longest:?}");
}
