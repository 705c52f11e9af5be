//! What dead rewrites leave behind goes with the next rewrite.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::json;
use turnlock_testing::{Room, flocked, room};
use uuid::Uuid;

use crate::child::{Ask, child};
use crate::sessions::buffered;

fn leftovers(room: &Room) -> Vec<PathBuf> {
    let names = room.names().into_iter().filter(|name| name.contains(".rewrite-"));
    names.map(|name| room.dir.join(name)).collect()
}

fn age(path: &PathBuf) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

#[test]
fn what_killed_rewrites_left_behind_is_removed_by_the_next_one() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let line = json!({"text": "x".repeat(8 << 20)});
    // A kill may come before or after the new file is there.
    for round in 0.. {
        assert!(round < 200, "no rewrite was killed in time");
        let (before, mut child) = (leftovers(&room).len(), child(&room));
        child.acquire();
        child.tell(&Ask::Rewrite(line.clone()));
        while leftovers(&room).len() == before && child.has_answered(Duration::ZERO).is_none() {
            std::thread::yield_now();
        }
        child.kill();
        if leftovers(&room).len() >= 2 {
            break;
        }
    }
    leftovers(&room).iter().for_each(age);
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    assert_eq!(leftovers(&room).len(), 2, "an append has nothing to do with them");
    turn.rewrite_blocking([json!({"n": 2})]).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(room.lines(), [json!({"n": 2})]);
    room.expect_clean();
}

#[test]
fn what_somebody_may_still_use_stays() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let name = |session: &str| {
        let path = room.dir.join(format!("{session}.rewrite-{}.tmp", Uuid::now_v7()));
        fs::write(&path, "{").unwrap();
        path
    };
    let (young, in_use, dead, anothers) =
        (name("s.jsonl"), name("s.jsonl"), name("s.jsonl"), name("other.jsonl"));
    [&in_use, &dead, &anothers].into_iter().for_each(age);
    let _user = flocked(&in_use);
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.rewrite_blocking([json!({"n": 1})]).unwrap();
    let there = |path: &PathBuf| path.exists();
    assert!(there(&young) && there(&in_use) && there(&anothers) && !there(&dead));
}
