//! Signals to `turnlock run`, and its death.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use rustix_libc_wrappers::process::SignalExt;
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::{children_named, is_installed, signal, through, traced};
use turnlock_testing::signals::{COUNTER, FORWARDED};
use turnlock_testing::strace::strace;
use turnlock_testing::{Doomed, Running, ended, eventually, room, state_of, until};

use crate::program::{TURNLOCK, held, run, turnlock};
use crate::status::status;

#[test]
fn signals_are_forwarded() {
    let room = room();
    for (name, number) in FORWARDED {
        let signal = Signal::from_raw(number).unwrap();
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
    let mut command = Command::new("sh");
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

#[test]
fn a_signal_to_the_whole_group_reaches_the_command_once() {
    if !is_installed("python3") {
        return;
    }
    for program in [&["python3"][..], &["setsid", "python3"]] {
        let room = room();
        let mut command = turnlock(["run"]);
        command.arg(&room.session).arg("--").args(program).args(["-c", COUNTER]).process_group(0);
        let mut running = Running::start(command);
        assert_eq!(running.line(), "ready");
        let group = Pid::from_raw(running.pid().cast_signed()).unwrap();
        for _ in 0..3 {
            kill_process_group(group, Signal::TERM).unwrap();
            assert_eq!(running.line(), "told", "{program:?}");
            // What turnlock forwards comes later.
            running.signal(Signal::USR1);
            assert_eq!(running.line(), "no more", "{program:?}");
        }
        // To turnlock alone.
        running.signal(Signal::TERM);
        assert_eq!(running.line(), "told");
        running.signal(Signal::USR2);
        let answer = running.end();
        assert_eq!((answer.code, &*answer.out), (Some(5), ""), "{program:?}");
    }
}

/// Without a handler of its own the command cannot have got it, or it would be gone.
#[test]
fn a_signal_to_all_processes_of_turnlock_is_not_lost() {
    let room = room();
    let mut running = run(&room, &[], "echo ready; exec sleep 1000");
    assert_eq!(running.line(), "ready");
    let helper = children_named(running.pid(), "turnlock")[0];
    for pid in [helper, running.pid()] {
        signal(pid, Signal::TERM);
    }
    assert_eq!(running.end().code, Some(128 + 15));
}

/// The kernel gives the first process of a PID namespace no signal that it does not handle.
#[test]
fn the_first_process_of_a_container_ends_when_it_is_told_to() {
    let Some(container) = pid_namespace() else { return };
    let room = room();
    let holder = held(&room, &[]);
    let session = room.session.to_str().unwrap();
    let waits = ["run", "--timeout", "none", session, "--", "echo", "never"];
    for (which, code) in [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2)] {
        let running = Running::start(through(&container, &turnlock(waits)));
        let first = traced(running.pid());
        until("it handles signals", || is_turnlock(first) && handles(first, which));
        signal(first, which);
        let answer = running.end();
        assert_eq!((answer.code, &*answer.out), (Some(code), ""), "{answer:?}");
    }
    holder.end();
    fs::write(&room.session, "{}\n").unwrap();
    let follow = turnlock(["read", "--follow", "--tail", "1", session]);
    let mut running = Running::start(through(&container, &follow));
    assert_eq!(running.line(), "{}");
    signal(traced(running.pid()), Signal::TERM);
    assert_eq!(running.end().code, Some(0), "its own end goes first");
}

/// There the group and the session are 0, as their numbers are outside of the namespace.
#[test]
fn in_a_pid_namespace_signals_are_forwarded() {
    let Some(container) = pid_namespace() else { return };
    let room = room();
    let session = room.session.to_str().unwrap();
    for (name, which) in [("TERM", Signal::TERM), ("HUP", Signal::HUP)] {
        let script = format!("trap 'echo got {name}; exit 5' {name}; echo ready; read go");
        let mut running = Running::start(through(
            &container,
            &turnlock(["run", "--create", session, "--", "sh", "-c", &script]),
        ));
        assert_eq!(running.line(), "ready");
        signal(traced(running.pid()), which);
        assert_eq!(running.line(), format!("got {name}"));
        assert_eq!(running.wait().code(), Some(5), "{name}");
    }
}

fn is_turnlock(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("turnlock"))
}

fn handles(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
}

/// Told before its command ended, or only then.
#[test]
fn a_run_ends_when_told_so_also_if_its_disk_no_longer_answers() {
    let calls = "openat,openat2,newfstatat,statx,unlinkat,renameat,renameat2";
    let no_answer = format!("inject={calls}:delay_enter=600s");
    let Some(tracer) = strace(&["trace=none"]) else { return };
    for command_is_told in [true, false] {
        let room = room();
        let script = "trap 'exit 5' TERM; echo up; read go; exit 5";
        let mut running = run(&room, &[], script);
        assert_eq!(running.line(), "up");
        let mut trace = Command::new(&tracer[0]);
        trace.args(["-f", "-qq", "-o", "/dev/null", "-e", &no_answer]);
        trace.args(["-P", room.dir.to_str().unwrap(), "-p", &running.pid().to_string()]);
        let mut tracer = Doomed(trace.stderr(Stdio::null()).spawn().unwrap());
        until("it is traced", || tracer_of(running.pid()) == tracer.pid());
        if command_is_told {
            running.signal(Signal::TERM);
        } else {
            running.say("go on\n");
            until("the release hangs", || state_of(running.pid()) == Some('t'));
            running.signal(Signal::TERM);
        }
        // strace keeps a thread that is killed while its call is delayed.
        until("that thread is alone", || threads_of(running.pid()) == 1);
        tracer.kill();
        assert_eq!(running.wait().code(), Some(5), "{command_is_told}");
        assert!(room.lock.exists(), "the release did not end");
    }
}

fn threads_of(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

fn tracer_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
    tracer.trim().parse().unwrap()
}

#[test]
fn a_follower_ends_when_told_so_also_if_nobody_reads() {
    let room = room();
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(100_000));
    fs::write(&room.session, line.repeat(4)).unwrap();
    let mut command = turnlock(["read", "--follow", "--tail", "4"]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    command.arg(&room.session).stdin(Stdio::null()).stdout(writer);
    let mut running = Doomed(command.spawn().unwrap());
    drop(command);
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    running.signal(Signal::TERM);
    let status = eventually("its end", || running.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// Whoever starts turnlock may have left its signals in any state.
#[test]
fn blocked_and_ignored_signals_are_set_right() {
    if !is_installed("python3") {
        return;
    }
    for state in [
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])",
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    ] {
        let script =
            format!("import os, signal, sys; {state}; os.execv(sys.argv[1], sys.argv[1:])");
        let start = ["python3", "-c", &script].map(String::from);
        let room = room();
        for _ in 0..5 {
            let mut command = turnlock(["run"]);
            command.arg(&room.session).args(["--", "sh", "-c", "sh -c 'exit 3'"]);
            assert_eq!(ended(through(&start, &command)).code, Some(3), "{state}");
        }
        let mut command = turnlock(["run"]);
        command.arg(&room.session).args(["--", "sh", "-c", "echo ready; exec sleep 1000"]);
        let mut running = Running::start(through(&start, &command));
        assert_eq!(running.line(), "ready");
        running.signal(Signal::TERM);
        assert_eq!(running.wait().code(), Some(128 + 15), "{state}");
        assert!(!room.lock.exists());
    }
}

/// As for process 1 of a container.
#[test]
fn orphans_do_not_stay_as_zombies() {
    let room = room();
    let (note, go) = (room.dir.join("pid"), room.dir.join("go"));
    let adopt = format!(
        "(while ! [ -e {} ]; do sleep 0.02; done) & echo $! > {}; exec \"$@\"",
        go.display(),
        note.display()
    );
    let adopt = ["sh", "-c", &adopt, "sh"].map(String::from);
    let mut command = turnlock(["run"]);
    command.arg(&room.session).args(["--", "sh", "-c", "echo ready; read go; exit 3"]);
    let mut running = Running::start(through(&adopt, &command));
    assert_eq!(running.line(), "ready");
    let orphan = fs::read_to_string(note).unwrap().trim().parse().unwrap();
    fs::write(go, "").unwrap();
    until("it is waited for", || state_of(orphan).is_none());
    running.say("go on\n");
    assert_eq!(running.wait().code(), Some(3));
}
