//! `--beside openclaw`: what other programs see of the process that holds the lock.

use std::fs;

use turnlock_testing::{Room, Running, room};

use crate::program::turnlock;

fn arguments_of_the_holder(room: &Room, options: &[&str]) -> Vec<String> {
    let mut command = turnlock(options);
    command.arg(&room.session).args(["--", "sh", "-c", "echo ready; read go", "--beside=openclaw"]);
    let mut holder = Running::start(command);
    assert_eq!(holder.line(), "ready");
    let pid = room.record()["pid"].clone();
    assert_eq!(pid, holder.pid(), "it is the process that was started");
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    line.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn the_holder_has_the_word_as_an_argument_of_its_own() {
    let room = room();
    for options in [
        &["--beside", "openclaw", "run"][..],
        &["--beside=openclaw", "run"],
        &["run", "--beside=openclaw"],
    ] {
        let arguments = arguments_of_the_holder(&room, options);
        assert!(
            arguments.iter().any(|argument| argument == "openclaw"),
            "{options:?}: {arguments:?}"
        );
        assert_eq!(
            arguments.last().unwrap(),
            "--beside=openclaw",
            "the command's own arguments are left alone"
        );
    }
    let arguments = arguments_of_the_holder(&room, &["run"]);
    assert!(!arguments.iter().any(|argument| argument == "openclaw"), "{arguments:?}");
}
