//! `turnlock revoke`.

use serde_json::Value;
use turnlock_testing::{Ended, Room, ended, room};

use crate::program::{held, turnlock};

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
    assert_eq!((&told["owner"], &told["pid"]), (&owner, &holder.pid().into()));
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
