//! Ten thousand sessions held at once.

use std::fs;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use turnlock::Sessions;
use turnlock_testing::{alone, census, room, test_name, until};

use crate::sessions::buffered;

const MANY: usize = 10_000;

#[test]
fn ten_thousand_sessions_are_held_at_once() {
    alone(&test_name!(), || {
        let wanted = Some(3 * MANY as u64);
        let maximum = getrlimit(Resource::Nofile).maximum.max(wanted);
        if setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }).is_err() {
            eprintln!("skipped: no right to so many descriptors");
            return;
        }
        let room = room();
        let sessions = buffered();
        let (threads, descriptors) = census();
        let began = Instant::now();
        let path = |n: usize| room.dir.join(format!("{n}.jsonl"));
        let mut turns: Vec<_> =
            (0..MANY).map(|n| sessions.turn(path(n)).acquire_blocking().unwrap()).collect();
        for (n, turn) in turns.iter_mut().enumerate() {
            turn.append_blocking(&json!({"n": n})).unwrap();
        }
        assert_eq!(Sessions::held_by_this_process(), MANY);
        assert!(census().1 <= descriptors + 2 * MANY);
        assert!(census().0 <= threads + 1, "the keeper is the only thread more");
        for turn in turns {
            assert_eq!(turn.lost().unwrap(), None);
            turn.release_blocking().unwrap();
        }
        eprintln!("took, wrote and released {MANY} turns in {:?}", began.elapsed());
        assert_eq!(Sessions::held_by_this_process(), 0);
        until("all descriptors are closed", || census().1 == descriptors);
        assert_eq!(fs::read_dir(&room.dir).unwrap().count(), MANY);
        for n in 0..MANY {
            assert_eq!(fs::read_to_string(path(n)).unwrap(), format!("{{\"n\":{n}}}\n"));
        }
    });
}
