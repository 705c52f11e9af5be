//! `turnlock run`: the turn, the command's end, and what the command inherits.

use std::fs;

use turnlock_testing::{ended, room};

use crate::program::{held, run, turnlock};

#[test]
fn the_exit_code_is_passed_on() {
    let room = room();
    for code in [0, 1, 7, 75, 255] {
        assert_eq!(run(&room, &[], &format!("exit {code}")).end().code, Some(code));
    }
    assert_eq!(run(&room, &[], "kill -s USR1 $$").end().code, Some(128 + 10));
    assert_eq!(run(&room, &[], "kill -s KILL $$").end().code, Some(128 + 9));
    assert_eq!(fs::read_dir(&room.dir).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_shells_do() {
    let room = room();
    for (program, code) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let mut command = turnlock(["run"]);
        command.arg(&room.session).args(["--", program]);
        let answer = ended(command);
        assert_eq!(answer.code, Some(code), "{answer:?}");
        assert!(answer.err.contains(program), "{answer:?}");
    }
    assert!(!room.lock.exists());
}

#[test]
fn usage_errors_are_2() {
    let room = room();
    let session = room.session.to_str().unwrap();
    let bad: &[&[&str]] = &[
        &["run", session],
        &["run", "--timeout", "10", session, "--", "true"],
        &["run", "--timeout", "1e3", session, "--", "true"],
        &["run", "--timeout", "0x1000", session, "--", "true"],
        &["run", "--timeout", "9007199254740993", session, "--", "true"],
        &["run", "--timeout", "-1s", session, "--", "true"],
        &["append"],
        &["revoke", session],
        &["revoke", session, "--owner", "somebody"],
        &["revoke", session, "--owner", "0"],
        &["--beside", "nobody", "status"],
        &["no-such-command"],
    ];
    for arguments in bad {
        let answer = ended(turnlock(*arguments));
        assert_eq!(answer.code, Some(2), "{arguments:?}: {answer:?}");
    }
    assert_eq!(fs::read_dir(&room.dir).unwrap().count(), 0);
}

#[test]
fn a_session_that_stays_busy_is_75_and_the_holder_is_named() {
    let room = room();
    let holder = held(&room, &[]);
    for (timeout, millis) in [("0", 0), ("50ms", 50)] {
        let answer = run(&room, &["--timeout", timeout], "echo never").end();
        assert_eq!((answer.code, answer.out.as_str()), (Some(75), ""));
        let text = format!(
            "session file locked (timeout {millis}ms): pid={} alive=true ageMs=",
            holder.pid()
        );
        assert!(answer.err.contains(&text) && answer.err.contains("the holder"), "{answer:?}");
    }
    assert_eq!(holder.end().code, Some(0));
    assert_eq!(run(&room, &["--timeout", "none"], "echo mine").end().out, "mine\n");
}

#[test]
fn commands_follow_one_another() {
    let room = room();
    let first = held(&room, &[]);
    let second = run(&room, &["--timeout", "60s"], "echo $(cat $DIR/done)");
    fs::write(room.dir.join("done"), "the first is done").unwrap();
    first.end();
    assert_eq!(second.end().out, "the first is done\n");
}

#[test]
fn the_command_inherits_the_locked_descriptor_and_is_told_of_its_turn() {
    let room = room();
    let script = "for f in /proc/$$/fd/*; do [ $f -ef $SESSION.lock ] && echo lock; done; \
                  echo $TURNLOCK_TURN; cat $SESSION.lock";
    let answer = run(&room, &["--label", "a test"], script).end();
    assert_eq!(answer.out.lines().filter(|line| *line == "lock").count(), 1, "{answer:?}");
    let record: serde_json::Value =
        serde_json::from_str(answer.out.lines().last().unwrap()).unwrap();
    assert_eq!(record["label"], "a test");
    let turn = format!("{}{}", record["owner"].as_str().unwrap(), room.session.display());
    assert!(answer.out.lines().any(|line| line == turn), "{answer:?}");
}

#[test]
fn a_bad_session_is_refused() {
    for path in ["/dev/null", "s.txt", "/"] {
        let answer = ended(turnlock(["run", path, "--", "true"]));
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains("not a session file"), "{answer:?}");
    }
}
