//! A holder that is stopped, revoked, and goes on: the fence refuses it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use turnlock::{Error, LostCause, Sessions};
use turnlock_testing::{Sleeper, foreign_record, room, start_time_of};
use uuid::Uuid;

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

#[test]
fn a_stopped_holder_is_revoked_and_its_next_append_is_refused() {
    for portable in [false, true] {
        let room = room();
        let mut stopped = Child::start(&room.session, How { portable, ..How::default() });
        let owner = stopped.acquire();
        stopped.append(json!({"before": "stop"}));
        stopped.stop();
        stopped.tell(&Ask::Append(json!({"after": "revoke"})));

        let sessions = buffered();
        let holder = sessions.revoke(&room.session, owner).unwrap();
        assert_eq!((holder.pid, holder.owner), (Some(i64::from(stopped.pid())), Some(owner)));
        let turn = sessions.turn(&room.session).try_acquire().unwrap();
        turn.append_blocking(&json!({"the": "next"})).unwrap();

        stopped.signal(Signal::CONT);
        let Answer::Failed(kind, text) = stopped.answer() else { panic!() };
        assert_eq!(kind, "lock-lost", "{text}");
        assert_eq!(stopped.ask(&Ask::Lost), Answer::Cause(Some("replaced".into())));
        let_go(&mut stopped);
        turn.append_blocking(&json!({"still": "mine"})).unwrap();
        turn.release_blocking().unwrap();
        assert_eq!(
            room.lines(),
            [json!({"before": "stop"}), json!({"the": "next"}), json!({"still": "mine"})]
        );
        room.expect_clean();
    }
}

/// A release of a lost turn reports the loss only if it looked: it does not look when it leaves the
/// lock file to others anyway.
fn let_go(former: &mut Child) {
    let released = former.ask(&Ask::Release);
    let lost = matches!(&released, Answer::Failed(kind, _) if kind == "lock-lost");
    assert!(lost || released == Answer::Done, "{released:?}");
}

#[test]
fn whoever_waits_for_a_stopped_holder_has_the_turn_after_the_revoke() {
    for portable in [false, true] {
        let room = room();
        let how = || How { portable, ..How::default() };
        let mut stopped = Child::start(&room.session, how());
        let mut waiter = Child::start(&room.session, how());
        let owner = stopped.acquire();
        waiter.tell(&Ask::Acquire(60_000));
        room.until_waited_for(1);
        stopped.stop();
        let revoked = Instant::now();
        buffered().revoke(&room.session, owner).unwrap();
        waiter.answered_held();
        assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
        waiter.append(json!({"n": 1}));
        // The former holder unlocks an inode that nobody waits for any more.
        stopped.signal(Signal::CONT);
        let_go(&mut stopped);
        waiter.append(json!({"n": 2}));
        waiter.release();
        assert_eq!(room.lines().len(), 2);
        room.expect_clean();
    }
}

#[test]
fn a_holder_stopped_inside_an_append_cannot_be_revoked() {
    let room = room();
    let mut stopped = child(&room);
    let owner = stopped.acquire();
    stopped.append(json!({"n": 1}));
    assert_eq!(stopped.ask(&Ask::LockData), Answer::Done);
    stopped.stop();

    let sessions = Sessions::builder().acquire_timeout(Duration::from_millis(100)).build().unwrap();
    let error = sessions.revoke(&room.session, owner).unwrap_err();
    assert!(
        matches!(error, Error::DataLockBusy { pid: Some(pid), .. } if pid == stopped.pid()),
        "{error}"
    );
    assert!(room.lock.exists());
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}", stopped.pid())) && text.contains("end it"),
        "{text}"
    );

    stopped.kill();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.release_blocking().unwrap();
    room.expect_clean();
}

#[test]
fn only_the_named_holder_is_revoked() {
    let room = room();
    let sessions = buffered();
    let mut holder = child(&room);
    let owner = holder.acquire();
    let error = sessions.revoke(&room.session, Uuid::now_v7()).unwrap_err();
    assert!(
        matches!(&error, Error::NotTheHolder { holder: Some(it), .. } if it.owner == Some(owner)),
        "{error}"
    );
    assert!(matches!(
        sessions.revoke_pid(&room.session, holder.pid() + 1),
        Err(Error::NotTheHolder { .. })
    ));
    holder.append(json!({"n": 1}));

    // By the time of the revoke it is somebody else's turn.
    holder.release();
    holder.acquire();
    assert!(matches!(sessions.revoke(&room.session, owner), Err(Error::NotTheHolder { .. })));
    holder.append(json!({"n": 2}));

    sessions.revoke_pid(&room.session, holder.pid()).unwrap();
    assert_eq!(holder.refused(&Ask::Append(json!({"n": 3}))).0, "lock-lost");
    assert!(matches!(
        sessions.revoke(&room.session, owner),
        Err(Error::NotTheHolder { holder: None, .. })
    ));
    assert_eq!(room.lines().len(), 2);
}

#[test]
fn a_living_foreign_owner_is_not_revoked() {
    let room = room();
    let foreign = Sleeper::new("node");
    let record = foreign_record(foreign.pid(), Some(start_time_of(foreign.pid())));
    room.put_lock(&record);
    let error = buffered().revoke_pid(&room.session, foreign.pid()).unwrap_err();
    assert!(matches!(error, Error::ForeignHolder { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&room.lock).unwrap(), record);
}

#[test]
fn a_turn_knows_that_it_is_lost() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    assert_eq!(turn.lost().unwrap(), None);
    sessions.revoke(&room.session, turn.owner()).unwrap();
    assert_eq!(turn.lost().unwrap(), Some(LostCause::Removed));
    let mut other = child(&room);
    other.acquire();
    assert_eq!(turn.lost().unwrap(), Some(LostCause::Replaced));
    assert!(matches!(
        turn.release_blocking(),
        Err(Error::LockLost { cause: LostCause::Replaced, .. })
    ));
    other.append(json!({"n": 1}));
    other.release();
    room.expect_clean();
}

#[test]
fn a_revoked_turn_of_a_hanging_task_does_not_hold_up_the_other_tasks_of_its_process() {
    for removed in [false, true] {
        let room = room();
        let sessions = buffered();
        let hanging = sessions.turn(&room.session).acquire_blocking().unwrap();
        hanging.append_blocking(&json!({"n": 1})).unwrap();
        let waiter = std::thread::spawn({
            let acquire = sessions.turn(&room.session).timeout(Duration::from_secs(30));
            move || {
                let turn = acquire.acquire_blocking()?;
                turn.append_blocking(&json!({"n": 2}))?;
                Ok::<_, Error>(turn)
            }
        });
        if removed {
            std::fs::remove_file(&room.lock).unwrap();
        } else {
            sessions.revoke(&room.session, hanging.owner()).unwrap();
        }
        let next = waiter.join().unwrap().unwrap();
        assert_eq!(
            hanging.append_blocking(&json!({"n": "no"})).unwrap_err().to_string().split(':').next(),
            Some("lock lost")
        );
        assert!(matches!(hanging.release_blocking(), Err(Error::LockLost { .. })));
        assert_eq!(next.lost().unwrap(), None);
        next.append_blocking(&json!({"n": 3})).unwrap();
        // The queue is in order again.
        assert!(sessions.turn(&room.session).try_acquire().is_err());
        next.release_blocking().unwrap();
        sessions.turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
        assert_eq!(room.lines(), [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
        room.expect_clean();
    }
}
