//! `turnlock revoke`.

use std::process::Command;

use serde_json::Value;
use turnlock_testing::process::is_allowed;
use turnlock_testing::{Ended, Room, Running, ended, room};

use crate::program::{TURNLOCK, held, turnlock};

fn revoke(room: &Room, owner: &str, options: &[&str]) -> Ended {
    let mut command = turnlock(["revoke"]);
    command.arg(&room.session).args(["--owner", owner]).args(options);
    ended(command)
}

#[test]
fn only_the_named_holder_loses_the_turn() {
    let room = room();
    let holder = held(&room, &[]);
    for wrong in ["1", "4000000000", "0199d2f4-6a3e-7b11-a2c4-1f0e9d8c7b6a"] {
        let answer = revoke(&room, wrong, &[]);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        let by =
            format!("not held by {} {wrong}, but by pid={} alive=true", kind(wrong), holder.pid());
        assert!(answer.err.contains(&by), "{answer:?}");
        assert!(room.lock.exists());
    }
    let answer = revoke(&room, &holder.pid().to_string(), &[]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let whom = format!("taken from pid {} on host", holder.pid());
    assert!(answer.out.contains(&whom) && answer.out.contains("the holder"), "{answer:?}");
    assert!(!room.lock.exists());
}

fn kind(named: &str) -> &str {
    if named.contains('-') { "owner" } else { "pid" }
}

#[test]
fn a_holder_can_be_named_by_its_owner() {
    let room = room();
    let holder = held(&room, &[]);
    let owner = room.record()["owner"].clone();
    let answer = revoke(&room, owner.as_str().unwrap(), &["--json"]);
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        (&told["revoked"][0]["holder"]["owner"], &told["revoked"][0]["holder"]["pid"]),
        (&owner, &holder.pid().into())
    );
    let answer = revoke(&room, owner.as_str().unwrap(), &[]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("nothing was revoked"), "{answer:?}");
}

#[test]
fn it_has_an_older_name() {
    let room = room();
    let holder = held(&room, &[]);
    let mut command = turnlock(["break", "--owner", &holder.pid().to_string()]);
    command.arg(&room.session);
    assert_eq!(ended(command).code, Some(0));
    assert!(!room.lock.exists());
}

#[test]
fn all_sessions_of_a_machine_that_is_gone_are_taken_once_that_is_said() {
    let room = room();
    let record = |host: &str, owner: &str| {
        format!(
            r#"{{"pid":7,"createdAt":"2026-04-15T10:00:00.000Z","protocol":"turnlock/1",
            "owner":"{owner}","host":"{host}","bootId":"x"}}"#
        )
    };
    let gone = ["0199d2f4-6a3e-7b11-a2c4-1f0e9d8c7b6a", "0199d2f4-6a3e-7b11-a2c4-1f0e9d8c7b6b"];
    let lock = |name: &str| room.dir.join(format!("{name}.jsonl.lock"));
    for (name, owner) in [("one", gone[0]), ("two", gone[1])] {
        std::fs::write(room.dir.join(format!("{name}.jsonl")), "{}\n").unwrap();
        std::fs::write(lock(name), record("worker-7", owner)).unwrap();
    }
    std::fs::write(lock("three"), record("worker-8", gone[0])).unwrap();
    let say = |options: &[&str]| {
        let mut command = turnlock(["revoke", "--host-is-gone"]);
        command.args(options).arg(&room.dir);
        ended(command)
    };
    let asked = say(&["worker-7"]);
    assert!(asked.code == Some(1) && asked.err.contains("--yes"), "{asked:?}");
    assert!(lock("one").exists());
    let none = say(&["worker-9", "--yes"]);
    assert!(none.code == Some(1) && none.err.contains("no process of worker-9"), "{none:?}");
    let done = say(&["worker-7", "--yes"]);
    assert_eq!((done.code, done.out.lines().count()), (Some(0), 2), "{done:?}");
    assert!(!lock("one").exists() && !lock("two").exists() && lock("three").exists());
    let here = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let own = say(&[here.trim(), "--yes"]);
    assert!(own.code == Some(1) && own.err.contains("this machine"), "{own:?}");
}

/// A container has a host name of its own.
#[test]
fn a_living_holder_of_this_machine_is_not_taken_for_one_of_a_machine_that_is_gone() {
    let room = room();
    let elsewhere = ["unshare", "--uts", "--"].map(String::from);
    if !is_allowed(&elsewhere) {
        eprintln!("skipped: no host name of its own can be had");
        return;
    }
    let mut holder = Command::new("unshare");
    let script = "hostname worker-7 && exec \"$0\" run \"$1\" -- sh -c 'echo ready; read go'";
    holder.args(["--uts", "--", "sh", "-c", script]).arg(TURNLOCK).arg(&room.session);
    let mut holder = Running::start(holder);
    assert_eq!(holder.line(), "ready");
    let gone = |options: &[&str]| {
        let mut command = turnlock(["revoke", "--host-is-gone", "worker-7"]);
        command.args(options).arg(&room.dir);
        ended(command)
    };
    let refused = gone(&["--yes"]);
    assert!(refused.code == Some(1) && refused.err.contains("this very machine"), "{refused:?}");
    assert!(room.lock.exists());
    let owner = room.record()["owner"].as_str().unwrap().to_owned();
    let named = revoke(&room, &owner, &[]);
    assert_eq!(named.code, Some(0), "{named:?}");
}
