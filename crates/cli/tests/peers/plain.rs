//! `flock(1)`, `rm` and `find -delete` as peers.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use turnlock::{Durability, Error, LostCause, Sessions};
use turnlock_testing::{Room, until};

use crate::ours::{Answer, holding, taking_turns};
use crate::room::{buffered, room};

/// A shell command, run over and over until this is dropped.
pub struct Remover(Child);

impl Remover {
    pub fn start(room: &Room, command: &str) -> Self {
        // It ends with its standard input, that is, with this process at the latest.
        let script =
            format!("while :; do read -t 0.002 line; [ $? -gt 128 ] || exit 0; {command}; done");
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script])
            .env("DIR", &room.dir)
            .env("LOCK", &room.lock)
            .env("SESSION", &room.session);
        Self(shell.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn shell(room: &Room, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("LOCK", &room.lock).env("SESSION", &room.session);
    command
}

#[test]
fn flock_on_the_lock_file_and_a_turn_exclude_each_other() {
    let room = room();
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    let refused = shell(&room, "flock -n -E 75 \"$LOCK\" true").status().unwrap();
    assert_eq!(refused.code(), Some(75));
    turn.release_blocking().unwrap();

    // It makes an empty lock file, and leaves it there.
    let mut holder = shell(&room, "exec flock \"$LOCK\" cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("flock(1) has it", || {
        shell(&room, "flock -n \"$LOCK\" true").status().unwrap().code() == Some(1)
    });
    let grace = Duration::from_millis(10);
    let sessions = Sessions::builder()
        .malformed_grace(grace)
        .durability(Durability::Buffered)
        .build()
        .unwrap();
    let refused =
        sessions.turn(&room.session).timeout(Duration::from_millis(100)).acquire_blocking();
    assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    sessions.turn(&room.session).acquire_blocking().unwrap().release_blocking().unwrap();
    assert!(!room.lock.exists());
}

/// Why `turnlock run` is there: who waits in flock(1) for the lock file does not look whether it is
/// still the one, and may have locked a file that is gone. It excludes nobody then, and no turn of
/// ours minds it.
#[test]
fn a_blocking_flock_on_the_lock_file_may_lock_a_file_that_is_gone() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    let mut script = shell(&room, "exec flock \"$LOCK\" cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    room.until_waited_for(1);
    turn.release_blocking().unwrap();
    let next = sessions.turn(&room.session).try_acquire().unwrap();
    next.append_blocking(&json!({"ours": 1})).unwrap();
    next.release_blocking().unwrap();
    drop(script.stdin.take());
    assert!(script.wait().unwrap().success());
    assert!(!room.lock.exists());
}

/// The data lock is a plain `flock` on the session file: a script that takes it may append beside
/// everybody.
#[test]
fn a_script_that_locks_the_session_file_appends_beside_our_turns() {
    let room = room();
    let mut ours = taking_turns(&room, 1);
    assert_eq!(ours.answer(), Answer::Begun);
    // Two writes under one lock, which nobody may come between.
    let script = "n=0; while [ $n -lt 100 ]; do \
                  flock \"$SESSION\" sh -c 'printf \"{\\\"script\\\":\" >> \"$SESSION\"; \
                  echo \"1}\" >> \"$SESSION\"'; n=$((n+1)); done";
    assert!(shell(&room, script).status().unwrap().success());
    ours.tell(&());
    ours.answer();
    let lines = room.lines();
    assert_eq!(lines.iter().filter(|line| **line == json!({"script": 1})).count(), 100);
    assert!(lines.len() > 100);
}

#[test]
fn rm_of_the_lock_file_ends_the_turn_and_nothing_else() {
    let room = room();
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"ours": 1})).unwrap();
    assert!(shell(&room, "rm -f \"$LOCK\"").status().unwrap().success());
    let refused = turn.append_blocking(&json!({"ours": 2}));
    assert!(
        matches!(refused, Err(Error::LockLost { cause: LostCause::Removed, .. })),
        "{refused:?}"
    );
    let mut next = holding(&room, "next");
    let refused = turn.append_blocking(&json!({"ours": 3}));
    assert!(
        matches!(refused, Err(Error::LockLost { cause: LostCause::Replaced, .. })),
        "{refused:?}"
    );
    drop(turn);
    next.tell(&());
    assert_eq!(next.answer(), Answer::Appended);
    assert_eq!(room.record()["pid"], next.pid());
    assert_eq!(room.lines(), [json!({"ours": 1}), json!({"ours": "next"})]);
}
