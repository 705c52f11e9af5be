//! `turnlock append` inside `turnlock run`.

use turnlock_testing::{Running, ended, fed, room};

use crate::program::{TURNLOCK, held, run, turnlock};

#[test]
fn an_append_inside_writes_under_the_turn() {
    let room = room();
    let script = r#"
        echo '{"n":1}' | $TURNLOCK append --timeout 60s $SESSION || exit
        for f in /proc/$$/fd/*; do
            if [ $f -ef $SESSION.lock ]; then eval "exec ${f##*/}>&-"; echo closed; fi
        done
        cd $DIR && echo '{"n":2}' | $TURNLOCK append --timeout 60s --json s.jsonl"#;
    // `sh` closes no descriptor of several digits.
    let mut command = turnlock(["run"]);
    command.arg(&room.session).args(["--", "bash", "-c", script]);
    command.env("TURNLOCK", TURNLOCK).env("SESSION", &room.session).env("DIR", &room.dir);
    let answer = ended(command);
    let told = "{\"schema\":\"turnlock.append/1\",\"lines\":1,\
        \"offsetBytes\":8,\"lengthBytes\":8,\"interveningBytes\":0,\"sealed\":false}\n";
    assert_eq!(
        (answer.code, answer.out, answer.err.as_str()),
        (Some(0), format!("closed\n{told}"), "")
    );
    assert_eq!(room.text(), "{\"n\":1}\n{\"n\":2}\n");
    assert!(!room.lock.exists());
}

#[test]
fn an_append_inside_is_refused_once_the_turn_is_lost() {
    let room = room();
    let script = "echo ready; read go; echo '{}' | $TURNLOCK append $SESSION; \
                  echo append $?; read go; exit 9";
    for next in [false, true] {
        let mut holder = run(&room, &[], script);
        assert_eq!(holder.line(), "ready");
        let mut revoke = turnlock(["revoke", "--owner", &holder.pid().to_string()]);
        revoke.arg(&room.session);
        assert_eq!(ended(revoke).code, Some(0));
        let next = next.then(|| held(&room, &[]));
        holder.say("go\n");
        assert_eq!(holder.line(), "append 1");
        let answer = holder.end();
        assert_eq!(answer.code, Some(9), "the command's own code, whatever became of the turn");
        assert!(
            answer.err.contains("lock lost") && answer.err.contains("TURNLOCK_TURN"),
            "{answer:?}"
        );
        assert!(answer.err.contains("the turn was lost while the command ran"), "{answer:?}");
        drop(next.map(Running::end));
        assert!(!room.session.exists() || room.text().is_empty());
    }
}

/// Success would say that its work counts.
#[test]
fn a_command_that_succeeds_without_its_turn_is_79() {
    let room = room();
    for (how, code) in [("exit 0", 79), ("exit 9", 9), ("kill -KILL $$", 128 + 9)] {
        let mut holder = run(&room, &[], &format!("echo ready; read go; {how}"));
        assert_eq!(holder.line(), "ready");
        let mut revoke = turnlock(["revoke", "--owner", &holder.pid().to_string()]);
        revoke.arg(&room.session);
        assert_eq!(ended(revoke).code, Some(0));
        holder.say("go\n");
        let answer = holder.end();
        assert_eq!(answer.code, Some(code), "{how}: {answer:?}");
        assert!(answer.err.contains("the turn was lost while the command ran"), "{answer:?}");
    }
}

#[test]
fn an_append_that_outlives_the_run_is_refused() {
    let (room, outside) = (room(), room());
    // The turn's variable leaves the run, as through a daemon that was started inside.
    let variable = run(&room, &[], "printenv TURNLOCK_TURN").end().out;
    let mut late = turnlock(["append"]);
    late.arg(&room.session).env("TURNLOCK_TURN", variable.trim_end());
    let answer = fed(late, "{}");
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("unset it"), "{answer:?}");
    let mut elsewhere = turnlock(["append"]);
    elsewhere.arg(&outside.session).env("TURNLOCK_TURN", variable.trim_end());
    assert_eq!(fed(elsewhere, "{}").code, Some(0), "other sessions are none of its business");
}

#[test]
fn turns_on_two_sessions_can_be_nested() {
    let (outer, inner) = (room(), room());
    let script = format!(
        "exec $TURNLOCK run {} -- sh -c 'echo 1 | $TURNLOCK append $SESSION && \
         echo 2 | $TURNLOCK append {0}'",
        inner.session.display()
    );
    let answer = run(&outer, &[], &script).end();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!((outer.text().as_str(), inner.text().as_str()), ("1\n", "2\n"));
}

#[test]
fn a_run_inside_a_run_on_the_same_session_does_not_wait_for_itself() {
    let room = room();
    let answer = run(&room, &[], "$TURNLOCK run --timeout none $SESSION -- echo never").end();
    assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
    assert!(answer.err.contains("inside a turn on it already"), "{answer:?}");
}

/// The session changes in the midst of the run: the append inside is told, and writes nothing.
#[test]
fn an_append_inside_is_told_when_the_session_was_changed() {
    let append = "echo '{\"n\":2}' | $TURNLOCK append";
    for (change, told, then) in [
        ("mv $SESSION $DIR/away", "has removed it", "{\"n\":2}\n"),
        ("rm $SESSION", "has removed it", "{\"n\":2}\n"),
        ("> $SESSION", "has cut it", "{\"n\":2}\n"),
        ("cp $DIR/old $SESSION", "has cut it", "{\"n\":0}\n{\"n\":2}\n"),
        ("mv $DIR/old $SESSION", "has put another file in its place", "{\"n\":0}\n{\"n\":2}\n"),
        (
            "cp $DIR/old $SESSION; for n in 7 8 9; do \
             echo \"{\\\"post\\\":$n}\" | $TURNLOCK post $SESSION; done",
            "has written over it",
            "{\"n\":0}\n{\"post\":7}\n{\"post\":8}\n{\"post\":9}\n{\"n\":2}\n",
        ),
    ] {
        // Once the turn began with an empty session, and once it has seen a line before the run.
        for before in ["", "{\"n\":0}\n"] {
            let room = room();
            std::fs::write(room.dir.join("old"), "{\"n\":0}\n").unwrap();
            if !before.is_empty() {
                std::fs::write(&room.session, before).unwrap();
            }
            let script = format!(
                "{{ echo '{{\"n\":0}}'; echo '{{\"n\":1}}'; }} | $TURNLOCK append $SESSION || exit
                {change}
                {append} $SESSION; echo append $?; cat $SESSION > $DIR/seen 2> /dev/null
                {append} --accept-change $SESSION; echo accept $?"
            );
            let answer = run(&room, &[], &script).end();
            assert_eq!(answer.out, "append 1\naccept 0\n", "{change}: {answer:?}");
            assert!(answer.err.contains(told), "{change}: {answer:?}");
            assert!(answer.err.contains("nothing was written"), "{answer:?}");
            assert!(answer.err.contains("--accept-change"), "{answer:?}");
            assert_eq!(room.text(), then, "{change}");
            let seen = std::fs::read_to_string(room.dir.join("seen")).unwrap();
            assert_eq!(seen, then.replace("{\"n\":2}\n", ""), "{change}: nothing was written");
        }
    }
}

/// Nothing was in it, so that nothing is lost.
#[test]
fn an_append_inside_makes_a_session_anew_that_was_still_empty() {
    let room = room();
    let answer = run(&room, &[], "rm $SESSION; echo '{\"n\":1}' | $TURNLOCK append $SESSION").end();
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    assert_eq!(room.text(), "{\"n\":1}\n");
}
