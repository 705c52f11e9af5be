//! Signals to `turnlock run`, and its death.

use std::fs;

use rustix::process::Signal;
use turnlock_testing::{ended, eventually, room};

use crate::program::{TURNLOCK, held, run};
use crate::status::status;

#[test]
fn signals_are_forwarded() {
    let room = room();
    for (name, signal) in [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("TERM", Signal::TERM),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
    ] {
        let script = format!("trap 'echo got {name}; exit 3' {name}; echo ready; read go");
        let mut running = run(&room, &[], &script);
        assert_eq!(running.line(), "ready");
        running.signal(signal);
        assert_eq!(running.line(), format!("got {name}"));
        assert_eq!(running.wait().code(), Some(3), "{name}");
        assert!(!room.lock.exists(), "{name}");
    }
}

#[test]
fn a_signal_that_ends_the_command_is_its_exit_code() {
    let room = room();
    let mut running = run(&room, &[], "echo ready; exec sleep 1000");
    assert_eq!(running.line(), "ready");
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, Some(128 + 15));
}

#[test]
fn a_waiter_is_ended_by_a_signal_and_leaves_nothing() {
    let room = room();
    let holder = held(&room, &[]);
    let waiter = run(&room, &["--timeout", "none"], "echo never");
    eventually("the waiter to wait", || {
        let threads = fs::read_dir(format!("/proc/{}/task", waiter.pid())).ok()?;
        (threads.count() > 1).then_some(())
    });
    waiter.signal(Signal::INT);
    assert_eq!(waiter.end().code, None);
    holder.end();
    assert_eq!(fs::read_dir(&room.dir).unwrap().count(), 0);
}

#[test]
fn what_turnlock_was_told_to_ignore_the_command_ignores_too_and_no_more() {
    let room = room();
    let script = "trap '' HUP; exec \"$0\" run \"$1\" -- sh -c 'grep SigIgn /proc/self/status; \
                  kill -s HUP $PPID; exit 4'";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, TURNLOCK]).arg(&room.session).env_remove("TURNLOCK_TURN");
    let answer = ended(command);
    assert_eq!(answer.code, Some(4), "{answer:?}");
    let mask = u64::from_str_radix(answer.out.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP stays ignored");
    assert_eq!(mask & (1 << 12), 0, "SIGPIPE does what it always does");
}

/// The story of a turnlock that is killed: its command is told to end, holds the session for as
/// long as it still needs, and writes under its turn until then. (The kernel may send the signal
/// twice: as each thread of the parent passes its children on when it dies.)
#[test]
fn the_command_outlives_a_killed_turnlock_only_with_the_turn() {
    let room = room();
    let script = r#"
        trap 'trap "" TERM; echo told; read go; echo "{\"last\":1}" | $TURNLOCK append $SESSION;
              echo append $?; touch $DIR/gone; exit' TERM
        echo ready
        read go"#;
    let mut holder = run(&room, &[], script);
    assert_eq!(holder.line(), "ready");
    let owner = room.record()["owner"].clone();
    let waiter = run(&room, &["--timeout", "60s"], "ls $DIR/gone; cat $SESSION");
    holder.kill();
    assert_eq!(holder.line(), "told");
    let found = status(&room.session);
    assert_eq!((&found["state"], &found["holder"]["owner"]), (&"held".into(), &owner));
    holder.say("go on\n");
    assert_eq!(holder.line(), "append 0");
    let answer = waiter.end();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.out.ends_with("/gone\n{\"last\":1}\n"), "{answer:?}");
}
