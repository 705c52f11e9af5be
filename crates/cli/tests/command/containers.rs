//! Locks of foreign programs across PID namespaces: looked at from outside a container, and from
//! inside.

use std::fs;

use serde_json::Value;
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::through;
use turnlock_testing::{
    Contained, Ended, Room, Sleeper, ended, foreign_record, room, start_time_of,
};

use crate::program::turnlock;
use crate::status::status;

/// Runs `turnlock` in a PID namespace of its own; `None` where that is not allowed.
fn inside(arguments: &[&str]) -> Option<Ended> {
    Some(ended(through(&pid_namespace()?, &turnlock(arguments))))
}

/// The arguments of a run that prints a line if it has the turn soon.
fn run_soon(room: &Room) -> [&str; 6] {
    let session = room.session.to_str().unwrap();
    ["run", "--timeout=100ms", session, "--", "echo", "ran"]
}

#[test]
fn a_host_respects_the_lock_of_an_owner_in_a_container() {
    let room = room();
    let Some(owner) = Contained::new("sleep") else { return };
    let record = foreign_record(owner.inside(), Some(start_time_of(owner.outside())));
    room.put_lock(&record);
    let dir = room.dir.to_str().unwrap();

    for options in [&["--fix"][..], &["--fix", "--assume-local"]] {
        let answer = ended(turnlock(["doctor"]).args(options).arg(dir));
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let process = format!("pid={} (alive)", owner.outside());
        assert!(answer.out.contains(&process), "{answer:?}");
        assert!(answer.out.contains(&format!("pid {} there", owner.inside())), "{answer:?}");
    }
    let answer = ended(turnlock(run_soon(&room)));
    assert_eq!((answer.code, answer.out.as_str()), (Some(75), ""), "{answer:?}");

    let told = status(&room.session);
    assert_eq!(told["state"], "foreign");
    assert_eq!(told["holder"]["pid"], owner.inside());
    assert_eq!(told["holder"]["hostPid"], owner.outside());
    let line = ended(turnlock(["status", dir])).out;
    let fields: Vec<_> = line.split('\t').collect();
    assert_eq!(fields[1..3], ["foreign", &owner.outside().to_string()], "{line}");
    assert_eq!(fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");
}

#[test]
fn a_container_respects_and_tells_of_a_lock_whose_owner_it_cannot_see() {
    let room = room();
    let owner = Sleeper::new("sleep");
    let record = foreign_record(owner.pid(), Some(start_time_of(owner.pid())));
    room.put_lock(&record);
    let dir = room.dir.to_str().unwrap();

    let Some(answer) = inside(&["doctor", "--fix", dir]) else { return };
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.out.contains("(unknown)"), "{answer:?}");
    assert!(answer.out.contains("unseen-namespace"), "{answer:?}");
    assert!(answer.out.contains("left alone") && answer.out.contains("--assume-local"));
    let answer = inside(&run_soon(&room)).unwrap();
    assert_eq!((answer.code, answer.out.as_str()), (Some(75), ""), "{answer:?}");
    assert!(answer.err.contains("--assume-local"), "{answer:?}");
    let answer = inside(&["status", dir]).unwrap();
    let fields: Vec<_> = answer.out.split('\t').collect();
    assert_eq!(fields[1..3], ["unseen (unseen-namespace)", &owner.pid().to_string()]);
    assert_eq!(fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");

    // The operator knows better.
    let answer = inside(&["status", "--assume-local", "--json", dir]).unwrap();
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&told[0]["state"], &told[0]["reasons"][0]), (&"stale".into(), &"dead-pid".into()));
    let answer = inside(&["doctor", "--fix", "--assume-local", dir]).unwrap();
    assert!(answer.code == Some(0) && !room.lock.exists(), "{answer:?}");
}

/// What an image sets for all commands in its containers.
#[test]
fn a_container_that_shares_nothing_can_say_so_in_its_environment() {
    let room = room();
    let owner = Sleeper::new("sleep");
    room.put_lock(foreign_record(owner.pid(), Some(start_time_of(owner.pid()))));
    let Some(namespace) = pid_namespace() else { return };
    let mut command = turnlock(run_soon(&room));
    command.env("TURNLOCK_ASSUME_LOCAL", "true");
    let answer = ended(through(&namespace, &command));
    assert_eq!((answer.code, answer.out.as_str()), (Some(0), "ran\n"), "{answer:?}");
}
