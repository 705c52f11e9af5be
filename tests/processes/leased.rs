//! Leases, which file servers take for their clients: a file with a lease cannot be opened at once.
//! It is busy, and waited for.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use turnlock::{Error, SessionChange, Sessions};
use turnlock_testing::kernel::lease_is_asked_back;
use turnlock_testing::{Room, eventually, room, until};

use crate::child::{Answer, Ask, Child, child};
use crate::sessions::buffered;

/// A room with a session, and a file server that has a lease on it.
fn served() -> (Room, Child) {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let mut server = child(&room);
    assert_eq!(server.ask(&Ask::Lease(room.session.clone())), Answer::Done);
    (room, server)
}

/// Does this while a lease is to be given back, which happens only when that is asked for.
fn meanwhile<T: Send>(room: &Room, server: &mut Child, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        until("the lease is asked back, and waited for", || {
            assert!(!working.is_finished(), "it did not wait");
            lease_is_asked_back(&room.session) || lease_is_asked_back(&room.lock)
        });
        assert_eq!(server.ask(&Ask::Unlease), Answer::Done);
        working.join().unwrap()
    })
}

fn posted(room: &Room) -> Vec<Value> {
    room.lines()[1..].to_vec()
}

#[test]
fn a_post_waits_until_the_lease_is_given_back() {
    let (room, mut server) = served();
    meanwhile(&room, &mut server, || {
        buffered().post_blocking(&room.session, &json!({"n": 1})).unwrap()
    });
    assert_eq!(posted(&room), [json!({"n": 1})]);
    room.expect_clean();
}

#[test]
fn a_turn_waits_until_the_lease_is_given_back() {
    let (room, mut server) = served();
    meanwhile(&room, &mut server, || {
        let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"n": 1})).unwrap();
        turn.release_blocking().unwrap();
    });
    assert_eq!(posted(&room), [json!({"n": 1})]);
    room.expect_clean();
}

#[test]
fn a_task_waits_until_the_lease_is_given_back() {
    let (room, mut server) = served();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    meanwhile(&room, &mut server, || {
        runtime.block_on(async {
            let turn = buffered().turn(&room.session).acquire().await.unwrap();
            turn.append(&json!({"n": 1})).await.unwrap();
            turn.release().await.unwrap();
        });
    });
    assert_eq!(posted(&room), [json!({"n": 1})]);
    room.expect_clean();
}

#[test]
fn a_dead_owners_lock_with_a_lease_on_it_is_waited_for() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    holder.append(json!({}));
    holder.kill();
    let mut server = child(&room);
    assert_eq!(server.ask(&Ask::Lease(room.lock.clone())), Answer::Done);
    meanwhile(&room, &mut server, || {
        buffered().turn(&room.session).acquire_blocking().unwrap().release_blocking().unwrap();
    });
    room.expect_clean();
}

#[test]
fn a_lease_on_a_file_that_is_put_in_place_in_mid_turn_is_waited_for() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    let beside = room.dir.join("beside");
    fs::write(&beside, "{}\n").unwrap();
    let mut server = child(&room);
    assert_eq!(server.ask(&Ask::Lease(beside.clone())), Answer::Done);
    fs::rename(&beside, &room.session).unwrap();
    meanwhile(&room, &mut server, || turn.append_blocking(&json!({"n": 1})).unwrap());
    assert_eq!(posted(&room), [json!({"n": 1})]);
    turn.release_blocking().unwrap();
    room.expect_clean();
}

#[test]
fn a_lease_does_not_hide_that_the_file_is_another_than_the_one_that_was_seen() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({})).unwrap();
    let beside = room.dir.join("beside");
    fs::write(&beside, "{}\n").unwrap();
    let mut server = child(&room);
    assert_eq!(server.ask(&Ask::Lease(beside.clone())), Answer::Done);
    fs::rename(&beside, &room.session).unwrap();
    let appended = meanwhile(&room, &mut server, || turn.append_blocking(&json!({"n": 1})));
    assert!(
        matches!(appended, Err(Error::Changed { how: SessionChange::Replaced, .. })),
        "{appended:?}"
    );
    assert_eq!(room.lines(), [json!({})]);
    turn.release_blocking().unwrap();
    room.expect_clean();
}

#[test]
fn who_keeps_a_lease_is_named_when_the_time_is_up() {
    let (room, mut server) = served();
    for ms in [0, 200] {
        let limit = Duration::from_millis(ms);
        let sessions = Sessions::builder().acquire_timeout(limit).build().unwrap();
        let posted = sessions.post_blocking(&room.session, &json!({"n": 1})).unwrap_err();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap_err();
        for error in [posted, turn] {
            assert!(
                matches!(error, Error::DataLockBusy { pid: Some(pid), .. } if pid == server.pid()),
                "{error}"
            );
            assert!(error.is_busy() && error.to_string().contains("lease"), "{error}");
        }
    }
    assert_eq!(server.ask(&Ask::Unlease), Answer::Done);
    // The last wait may still have the data lock for a moment.
    let turn = eventually("the turn is had", || {
        buffered().turn(&room.session).timeout(Duration::ZERO).acquire_blocking().ok()
    });
    turn.release_blocking().unwrap();
    room.expect_clean();
}
