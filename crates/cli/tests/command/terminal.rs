//! What a person at a terminal sees; `script` makes the terminal.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use turnlock_testing::process::signal;
use turnlock_testing::{Running, ended, room};

use crate::program::{TURNLOCK, held};

/// `turnlock` on a terminal of its own; `None` where there is no `script`.
fn on_a_terminal(line: &str) -> Option<Command> {
    let there = Command::new("script")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_err() {
        eprintln!("skipped: there is no `script` to make a terminal");
        return None;
    }
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{TURNLOCK} {line}"), "/dev/null"]);
    command
        .env_remove("TURNLOCK_TURN")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh");
    Some(command)
}

#[test]
fn a_waiter_says_for_whom_it_waits() {
    let room = room();
    let mut holder = held(&room, &[]);
    let Some(command) =
        on_a_terminal(&format!("run --timeout 60s {} -- echo mine", room.session.display()))
    else {
        return;
    };
    let mut waiter = Running::start(command);
    let remark = waiter.line();
    assert!(remark.contains(&format!("waiting for pid {}", holder.pid())), "{remark}");
    assert!(remark.contains("(the holder), since 20"), "{remark}");
    holder.say("go\n");
    assert_eq!(waiter.line().trim_end(), "mine");
}

#[test]
fn status_is_a_table_with_colours_unless_they_are_not_wanted() {
    let room = room();
    let holder = held(&room, &[]);
    let line = format!("status {}", room.dir.display());
    let Some(command) = on_a_terminal(&line) else { return };
    let plain = on_a_terminal(&line).map(|mut command| {
        command.env("NO_COLOR", "1");
        command
    });
    let coloured = ended(command).out;
    assert!(
        coloured.contains("held since")
            && coloured.contains("the holder")
            && coloured.contains("ago"),
        "{coloured}"
    );
    assert!(coloured.contains("\u{1b}["), "{coloured}");
    let plain = ended(plain.unwrap()).out;
    assert!(plain.contains("the holder") && !plain.contains('\u{1b}'), "{plain}");
    drop(holder);
    std::fs::write(room.dir.join("none.jsonl"), "").unwrap();
    assert_eq!(
        ended(on_a_terminal(&format!("status {}/none.jsonl", room.dir.display())).unwrap())
            .out
            .trim_end(),
        "no locks"
    );
}

/// The whole foreground group is sent what is typed; twice would mean something else to the
/// command.
#[test]
fn an_interrupt_typed_at_the_terminal_reaches_the_command_once() {
    let room = room();
    let script = "n=0; trap \"n=\\$((n+1)); echo interrupted\" INT; \
                  trap \"echo \\$n times; exit\" USR1; echo ready; while :; do read go; done";
    let Some(command) =
        on_a_terminal(&format!("run {} -- sh -c '{script}'", room.session.display()))
    else {
        return;
    };
    let mut running = Running::start(command);
    assert_eq!(running.line().trim_end(), "ready");
    running.say("\u{3}");
    assert!(running.line().trim_end().ends_with("interrupted"));
    // Forwarded in the same queue, and so behind an interrupt that would have been forwarded as
    // well.
    signal(u32::try_from(room.record()["pid"].as_u64().unwrap()).unwrap(), Signal::USR1);
    assert_eq!(running.line().trim_end(), "1 times");
}
