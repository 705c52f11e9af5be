//! A turn that made the session file and wrote nothing: the session file goes, and with it the data
//! lock, a moment before the lock file (I14).

use serde_json::json;
use turnlock::Error;
use turnlock_testing::strace::strace;
use turnlock_testing::{room, until};

use crate::child::{Answer, Ask, Child, How};
use crate::sessions::buffered;

/// What starts a child that is stopped after its first `unlink`.
fn stopped_after_unlink() -> Option<Vec<String>> {
    strace(&["trace=unlink,unlinkat", "inject=unlink,unlinkat:signal=SIGSTOP:when=1"])
}

#[test]
fn a_revoke_while_an_unused_session_file_goes_costs_nobody_a_fresh_lock() {
    let Some(through) = stopped_after_unlink() else { return };
    let room = room();
    let mut child = Child::start(&room.session, How { through, ..How::default() });
    let owner = child.acquire();
    let pid =
        rustix::process::Pid::from_raw(room.record()["pid"].as_i64().unwrap() as i32).unwrap();
    child.tell(&Ask::Release);
    until("the session file is gone, and the lock file not yet", || {
        room.names() == ["s.jsonl.lock"]
    });

    let sessions = buffered();
    let revoked = sessions.revoke(&room.session, owner);
    let next = sessions.turn(&room.session).try_acquire();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert_eq!(child.answer(), Answer::Done);
    if let Ok(turn) = &next {
        assert_eq!(
            turn.lost().unwrap(),
            None,
            "the one that let go has removed the lock of the next"
        );
    }
    assert!(matches!(revoked, Err(Error::NotTheHolder { .. })), "{revoked:?}");
    drop(next);
    let mut turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    turn.release_blocking().unwrap();
    room.expect_clean();
}
