//! A post respects a foreign owner, also while one of our own waiters has the foreign lock file
//! locked to look at it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use turnlock::{Durability, Error, Sessions};
use turnlock_testing::{Room, Sleeper, flocked, foreign_record, room, start_time_of};

/// A living owner, with its record in the lock file's place.
fn living_owner(room: &Room) -> (Sleeper, String) {
    let owner = Sleeper::new("sleep");
    let record = foreign_record(owner.pid(), Some(start_time_of(owner.pid())));
    fs::write(&room.lock, &record).unwrap();
    (owner, record)
}

fn sessions(timeout: Duration) -> Sessions {
    Sessions::builder().acquire_timeout(timeout).durability(Durability::Buffered).build().unwrap()
}

#[test]
fn a_post_does_not_take_a_waiter_that_looks_for_the_holder() {
    let room = room();
    fs::write(&room.session, "{\"foreign\":1}\n").unwrap();
    let (mut owner, _) = living_owner(&room);

    // Like a waiter that was granted the lock of a foreign file and now waits for the data lock.
    let looking = flocked(&room.lock);

    let sessions = sessions(Duration::from_millis(100));
    let posted = sessions.post_blocking(&room.session, &json!({"post": 1}));
    assert!(matches!(posted, Err(Error::Timeout { .. })), "{posted:?}");
    assert_eq!(room.text(), "{\"foreign\":1}\n");

    drop(looking);
    owner.kill();
    sessions.post_blocking(&room.session, &json!({"post": 2})).unwrap();
    assert_eq!(room.text(), "{\"foreign\":1}\n{\"post\":2}\n");
}

/// A post that has to wait takes a turn, which may be lost like any other. The caller of the post
/// has no turn, and is not told of a loss.
#[test]
fn a_post_that_waited_never_says_that_it_lost_a_turn() {
    let room = room();
    fs::write(&room.session, "").unwrap();
    let (_owner, record) = living_owner(&room);
    let sessions = sessions(Duration::from_secs(30));
    let done = AtomicBool::new(false);
    let posted: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = fs::remove_file(&room.lock);
                std::thread::yield_now();
            }
        });
        let post = |round| {
            fs::write(&room.lock, &record).unwrap();
            sessions.post_blocking(&room.session, &json!({"post": round}))
        };
        let posted = (0..200).map(post).collect();
        done.store(true, Ordering::Relaxed);
        posted
    });
    let text = room.text();
    for (round, posted) in posted.into_iter().enumerate() {
        let line = format!("{{\"post\":{round}}}");
        let there = text.lines().filter(|found| **found == line).count();
        match posted {
            Ok(_) => assert_eq!(there, 1, "{line}"),
            // The lock file was removed in the middle of the write.
            Err(Error::Overtaken { .. }) => assert!(there <= 1, "{line}"),
            Err(error) => panic!("{line}: {error}"),
        }
    }
}
