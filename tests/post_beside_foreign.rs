//! A post respects a foreign owner also at the moment in which one of our own waiters has the foreign lock file locked, to look at it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use turnlock::{Durability, Error, Sessions};

#[test]
fn a_post_does_not_take_a_waiter_that_looks_for_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().join("s.jsonl");
    fs::write(&session, "{\"foreign\":1}\n").unwrap();
    let mut owner = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", owner.id())).unwrap();
    let start: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let record = json!({"pid": owner.id(), "createdAt": "2026-01-01T00:00:00.000Z", "starttime": start});
    let lock = dir.path().join("s.jsonl.lock");
    fs::write(&lock, record.to_string()).unwrap();

    // As a waiter does that was granted the lock of a foreign file, and waits for the data lock now.
    let looking = fs::File::open(&lock).unwrap();
    fs4::FileExt::try_lock(&looking).unwrap();

    let timeout = Duration::from_millis(100);
    let sessions = Sessions::builder().acquire_timeout(timeout).durability(Durability::Buffered).build().unwrap();
    let posted = sessions.post_blocking(&session, &json!({"post": 1}));
    assert!(matches!(posted, Err(Error::Timeout { .. })), "{posted:?}");
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"foreign\":1}\n");

    drop(looking);
    drop(owner.stdin.take());
    owner.wait().unwrap();
    sessions.post_blocking(&session, &json!({"post": 2})).unwrap();
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"foreign\":1}\n{\"post\":2}\n");
}
