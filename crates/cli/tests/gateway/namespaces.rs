//! The container that is started again: the same process id in a new PID namespace.

use std::time::{Duration, Instant};

use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::through;

use crate::rig::*;

#[test]
fn killed_and_started_again_with_the_same_pid_fifty_times_without_delay() {
    let Some(container) = pid_namespace() else { return };
    let home = home();
    let mut longest = Duration::ZERO;
    for round in 0..50 {
        let command = through(&container, &home.run(&[]));
        let began = Instant::now();
        let mut running = ready(command);
        longest = longest.max(began.elapsed());
        let record: serde_json::Value =
            serde_json::from_str(std::fs::read_to_string(home.state_lock()).unwrap().trim())
                .unwrap();
        assert_eq!(record["pid"], 1, "round {round}");
        if round == 0 {
            let status: serde_json::Value =
                serde_json::from_str(&home.ask("status", &["--json"]).out).unwrap();
            assert_eq!(status["stateLock"]["state"], "held");
            let process = &status["stateLock"]["process"];
            assert_eq!(process["identity"], "verified", "{status}");
            assert!(process["pid"] == 1 && process["pidHere"].as_u64() > Some(1), "{status}");
        }
        running.kill();
        running.end();
    }
    // Against the 5 s that a gateway may wait for its locks.
    assert!(longest < Duration::from_secs(3), "{longest:?}");
}
