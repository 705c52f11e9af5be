//! Help, completions and manual pages.

use std::fs;

use turnlock_testing::{ended, fed, room};

use crate::program::turnlock;

const COMMANDS: [&str; 9] =
    ["run", "append", "post", "status", "revoke", "read", "doctor", "completions", "man"];

#[test]
fn every_command_helps_with_examples() {
    for command in COMMANDS {
        let answer = ended(turnlock([command, "--help"]));
        assert_eq!(answer.code, Some(0));
        let (_, examples) = answer.out.split_once("Examples:\n").expect("examples");
        assert!(examples.contains(&format!("turnlock {command}")), "{examples}");
    }
    let answer = ended(turnlock(["--help"]));
    assert!(answer.out.contains("Exit codes:") && !answer.out.contains("__exec"), "{answer:?}");
}

#[test]
fn shells_can_complete_it() {
    for shell in ["bash", "zsh", "fish"] {
        let answer = ended(turnlock(["completions", shell]));
        assert_eq!(answer.code, Some(0));
        assert!(COMMANDS.iter().all(|command| answer.out.contains(command)), "{shell}");
        assert!(!answer.out.contains("__exec"), "{shell}");
    }
    assert_eq!(ended(turnlock(["completions", "cmd.exe"])).code, Some(2));
}

#[test]
fn there_are_manual_pages() {
    let room = room();
    let answer = ended(turnlock(["man"]));
    assert!(answer.out.contains(".TH turnlock 1"), "{answer:?}");
    let dir = room.dir.join("man1");
    let mut command = turnlock(["man", "--dir"]);
    command.arg(&dir);
    assert_eq!(ended(command).code, Some(0));
    for command in COMMANDS {
        assert!(fs::metadata(dir.join(format!("turnlock-{command}.1"))).is_ok(), "{command}");
    }
}

#[test]
fn what_happens_can_be_watched() {
    let room = room();
    let mut command = turnlock(["-vv", "append"]);
    command.arg(&room.session);
    let answer = fed(command, "{}");
    assert!(answer.err.contains("turn begins") && answer.err.contains("release"), "{answer:?}");
    let mut command = turnlock(["append"]);
    command.arg(&room.session).env("RUST_LOG", "turnlock=debug");
    assert!(fed(command, "{}").err.contains("turn begins"));
}
