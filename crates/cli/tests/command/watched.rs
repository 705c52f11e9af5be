//! `turnlock status`: patterns, who waits, on which filesystem, and a watch.

use serde_json::Value;
use turnlock_testing::{Running, ended, eventually, room};

use crate::program::{held, run, turnlock};

#[test]
fn a_pattern_is_looked_up_and_a_waiter_is_named() {
    let room = room();
    let _holder = held(&room, &[]);
    let waiter = run(&room, &["--timeout", "none"], "true");
    let pattern = room.dir.join("*.jsonl");
    eventually("the waiter to be seen", || {
        let mut command = turnlock(["status", "--json"]);
        command.arg(&pattern);
        let answer = ended(command);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let told: Value = serde_json::from_str(&answer.out).unwrap();
        let locks = &told["locks"];
        assert_eq!(locks[0]["state"], "held");
        assert!(locks[0]["filesystem"].as_str().unwrap().contains(" filesystem"), "{locks}");
        let waiters = locks[0]["waiterPids"].as_array().unwrap();
        waiters.contains(&Value::from(waiter.pid())).then_some(())
    });
}

#[test]
fn a_watch_tells_what_has_changed() {
    let room = room();
    let holder = held(&room, &[]);
    let mut command = turnlock(["status", "--watch", "--json"]);
    command.arg(&room.dir);
    let mut watch = Running::start(command);
    let first: Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(first["locks"][0]["holder"]["label"], "the holder");
    assert_eq!(holder.end().code, Some(0));
    let last: Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(last["locks"], serde_json::json!([]));
}
