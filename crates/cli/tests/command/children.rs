//! What the command of `turnlock run` starts: until when it holds the session.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use turnlock_testing::process::{children_named, is_installed, signal};
use turnlock_testing::{Room, Running, ended, room, until};

use crate::program::{TURNLOCK, run, turnlock};

/// A script that says that it is there, is deaf to SIGTERM, and ends when told to go on.
const DEAF: &str = "trap '' TERM; echo ready; read go; echo done";

/// Kills turnlock, and with `helper` also the process between it and the command.
fn kill(holder: &mut Running, helper: bool) {
    let helpers = if helper { helpers_of(holder.pid()) } else { vec![] };
    let all = || helpers.iter().copied().chain([holder.pid()]);
    // None of them can do anything about the end of another.
    all().for_each(|pid| signal(pid, Signal::STOP));
    all().for_each(|pid| signal(pid, Signal::KILL));
    holder.wait();
}

/// The processes of turnlock between it and the command.
fn helpers_of(pid: u32) -> Vec<u32> {
    children_named(pid, "turnlock")
}

/// The state of the lock on a session, and the owner of the turn.
fn status(room: &Room) -> (Value, Value) {
    let mut command = turnlock(["status", "--json"]);
    command.arg(&room.session);
    let answer = ended(command);
    let told: Value = serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{answer:?}"));
    let lock = &told["locks"][0];
    (lock["state"].clone(), lock["holder"]["owner"].clone())
}

/// After a kill the session stays held until what `command` runs has ended.
fn holds_on(command: &[&str], helper: bool) {
    let room = room();
    let mut start = turnlock(["run"]);
    start.arg(&room.session).arg("--").args(command);
    let mut holder = Running::start(start);
    assert_eq!(holder.line(), "ready");
    let owner = room.record()["owner"].clone();
    kill(&mut holder, helper);
    assert_eq!(status(&room), ("held".into(), owner), "{command:?}");
    assert_eq!(
        run(&room, &["--timeout", "300ms"], "echo never").end().code,
        Some(75),
        "{command:?}"
    );
    holder.say("go on\n");
    assert_eq!(holder.line(), "done");
    assert_eq!(run(&room, &["--timeout", "60s"], "echo next").end().out, "next\n");
}

#[test]
fn a_killed_turnlock_leaves_the_session_held_until_all_are_gone() {
    let python = "import subprocess, sys; subprocess.run(['sh', '-c', sys.argv[1]])";
    let node = "require('child_process').spawn('sh', ['-c', process.argv[1]], {stdio: 'inherit'})";
    let wrapped: [(&str, &[&str]); 5] = [
        ("sh", &["sh", "-c", DEAF]),
        ("python3", &["python3", "-c", python, DEAF]),
        ("node", &["node", "-e", node, DEAF]),
        ("setsid", &["sh", "-c", "exec 3<&0; setsid sh -c \"$1\" <&3 & wait", "sh", DEAF]),
        // The first child ends at once; its own becomes an orphan.
        ("setsid", &["sh", "-c", "(setsid sh -c \"$1\" <&3 &) 3<&0; exec sleep 1000", "sh", DEAF]),
    ];
    for (needs, command) in wrapped {
        if is_installed(needs) {
            holds_on(command, false);
        }
    }
}

/// Without any process of turnlock the descriptor alone holds the session.
#[test]
fn the_descriptor_outlives_node_and_scripts_with_descriptors_of_their_own() {
    let node = "require('child_process').spawn('sh', ['-c', process.argv[1]], {stdio: 'inherit'})";
    let low: String = (3..=9).map(|fd| format!("exec {fd}>/dev/null; ")).collect();
    let idioms = "exec 99>/dev/null 100>/dev/null 200>/dev/null 201>/dev/null; ";
    let shell = format!("{low} {DEAF}");
    let bash = format!("{low} {idioms} {DEAF}");
    let wrapped: [(&str, &[&str]); 3] = [
        ("sh", &["sh", "-c", &shell]),
        ("bash", &["bash", "-c", &bash]),
        ("node", &["node", "-e", node, DEAF]),
    ];
    for (needs, command) in wrapped {
        if is_installed(needs) {
            holds_on(command, true);
        }
    }
}

/// Where descriptors are few, the lock gets as high a one as there is.
#[test]
fn a_low_limit_on_descriptors_is_no_obstacle() {
    let start = format!("ulimit -n 40; exec {TURNLOCK} run $SESSION -- sh -c \"$0\"");
    let room = room();
    let mut command = Command::new("sh");
    command.args(["-c", &start, DEAF]).env("SESSION", &room.session).env_remove("TURNLOCK_TURN");
    let mut holder = Running::start(command);
    assert_eq!(holder.line(), "ready");
    kill(&mut holder, true);
    assert_eq!(status(&room).0, "held");
    holder.say("go on\n");
    assert_eq!(holder.line(), "done");
}

/// Told to end after the kill, and not before: the command first, then what it left.
#[test]
fn what_a_killed_turnlock_ran_is_told_to_end() {
    let room = room();
    let script = "trap 'echo told; exit' TERM; \
                  sh -c 'trap \"echo child told; exit\" TERM; echo ready; \
                  while :; do sleep 0.02; done' & \
                  while :; do sleep 0.02; done";
    let mut holder = run(&room, &[], script);
    assert_eq!(holder.line(), "ready");
    kill(&mut holder, false);
    assert_eq!(holder.line(), "told");
    assert_eq!(holder.line(), "child told");
    assert_eq!(run(&room, &["--timeout", "60s"], "echo next").end().out, "next\n");
}

/// The turn is that of the command. What it leaves in the background is not in it.
#[test]
fn the_turn_ends_with_the_command_whatever_it_leaves_behind() {
    let room = room();
    let mut holder = run(&room, &[], &format!("exec 3<&0; ({DEAF}) <&3 & sleep 0.1; exit 4"));
    assert_eq!(holder.line(), "ready");
    assert_eq!(holder.wait().code(), Some(4));
    assert!(!room.lock.exists());
    assert_eq!(run(&room, &["--timeout", "0"], "echo next").end().out, "next\n");
    holder.say("go on\n");
    assert_eq!(holder.line(), "done");
}

/// The process between the two is killed alone: the turn lasts until the command has ended.
#[test]
fn a_turnlock_whose_helper_is_killed_holds_the_session_until_all_are_gone() {
    let room = room();
    let mut holder = run(&room, &[], DEAF);
    assert_eq!(holder.line(), "ready");
    let helpers = helpers_of(holder.pid());
    assert_eq!(helpers.len(), 1);
    signal(helpers[0], Signal::KILL);
    until("the helper is gone", || helpers_of(holder.pid()).is_empty());
    assert_eq!(run(&room, &["--timeout", "100ms"], "echo never").end().code, Some(75));
    holder.say("go on\n");
    assert_eq!(holder.line(), "done");
    assert_eq!(holder.wait().code(), Some(128 + 9));
    assert!(!room.lock.exists());
}

/// Who signals every process of a service reaches turnlock too: the command is not to hear of it
/// once more through the process between.
#[test]
fn a_signal_to_the_helper_is_no_signal_to_the_command() {
    let room = room();
    let script = "n=0; trap 'n=$((n+1))' USR1; trap 'echo $n times; exit' USR2; echo ready; \
                  while :; do sleep 0.02; done";
    let mut holder = run(&room, &[], script);
    assert_eq!(holder.line(), "ready");
    signal(helpers_of(holder.pid())[0], Signal::USR1);
    signal(holder.pid(), Signal::USR2);
    assert_eq!(holder.line(), "0 times");
}
