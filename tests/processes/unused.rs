//! A turn that made the session file and wrote nothing: the file goes, and with it the data lock, a moment before the lock file (I14).

use std::process::Command;

use serde_json::json;
use turnlock::Error;

use crate::child::{Answer, Ask, Child, How};
use crate::room::{buffered, room, until};

/// What starts a child that is stopped after its first `unlink`; none, said aloud, where there is no `strace`.
fn stopped_after_unlink() -> Option<Vec<String>> {
    let stop = "inject=unlink,unlinkat:signal=SIGSTOP:when=1";
    let through =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=unlink,unlinkat", "-e", stop];
    let through = through.map(String::from).to_vec();
    if Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|done| done.status.success())
    {
        return Some(through);
    }
    eprintln!("skipped: no strace, or no right to trace");
    None
}

#[test]
fn a_revoke_while_an_unused_session_file_goes_costs_nobody_a_fresh_lock() {
    let Some(through) = stopped_after_unlink() else { return };
    let room = room();
    let mut child = Child::start(&room.session, How { through, ..How::default() });
    let owner = child.acquire();
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&room.lock).unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(record["pid"].as_i64().unwrap() as i32).unwrap();
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
