//! A post respects a foreign owner also at the moment in which one of our own waiters has the foreign lock file locked, to look at it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use turnlock::{Durability, Error, Sessions};

/// A process that lives until its standard input ends.
fn living_owner() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// Its lock, as a foreign program writes it.
fn record_of(owner: &Child) -> String {
    let stat = fs::read_to_string(format!("/proc/{}/stat", owner.id())).unwrap();
    let start: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    json!({"pid": owner.id(), "createdAt": "2026-01-01T00:00:00.000Z", "starttime": start})
        .to_string()
}

fn sessions(timeout: Duration) -> Sessions {
    Sessions::builder().acquire_timeout(timeout).durability(Durability::Buffered).build().unwrap()
}

#[test]
fn a_post_does_not_take_a_waiter_that_looks_for_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().join("s.jsonl");
    fs::write(&session, "{\"foreign\":1}\n").unwrap();
    let lock = dir.path().join("s.jsonl.lock");
    let mut owner = living_owner();
    fs::write(&lock, record_of(&owner)).unwrap();

    // As a waiter does that was granted the lock of a foreign file, and waits for the data lock now.
    let looking = fs::File::open(&lock).unwrap();
    fs4::FileExt::try_lock(&looking).unwrap();

    let sessions = sessions(Duration::from_millis(100));
    let posted = sessions.post_blocking(&session, &json!({"post": 1}));
    assert!(matches!(posted, Err(Error::Timeout { .. })), "{posted:?}");
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"foreign\":1}\n");

    drop(looking);
    drop(owner.stdin.take());
    owner.wait().unwrap();
    sessions.post_blocking(&session, &json!({"post": 2})).unwrap();
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"foreign\":1}\n{\"post\":2}\n");
}

/// A post that has to wait takes a turn, which may be lost like any other; but the post has no turn to lose, and does not say so.
#[test]
fn a_post_that_waited_never_says_that_it_lost_a_turn() {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().join("s.jsonl");
    fs::write(&session, "").unwrap();
    let lock = dir.path().join("s.jsonl.lock");
    let mut owner = living_owner();
    let (record, sessions) = (record_of(&owner), sessions(Duration::from_secs(30)));
    let done = AtomicBool::new(false);
    let posted: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = fs::remove_file(&lock);
                std::thread::yield_now();
            }
        });
        let post = |round| {
            fs::write(&lock, &record).unwrap();
            sessions.post_blocking(&session, &json!({"post": round}))
        };
        let posted = (0..200).map(post).collect();
        done.store(true, Ordering::Relaxed);
        posted
    });
    let text = fs::read_to_string(&session).unwrap();
    for (round, posted) in posted.into_iter().enumerate() {
        let line = format!("{{\"post\":{round}}}");
        let there = text.lines().filter(|found| **found == line).count();
        match posted {
            Ok(_) => assert_eq!(there, 1, "{line}"),
            // Removed in the middle of the write.
            Err(Error::Overtaken { .. }) => assert!(there <= 1, "{line}"),
            Err(error) => panic!("{line}: {error}"),
        }
    }
    drop(owner.stdin.take());
    owner.wait().unwrap();
}
