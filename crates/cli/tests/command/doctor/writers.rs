//! Programs that keep a session open for writing, and know no lock, as Codex does: a repair would
//! put a new file in place, and their next records would go into the old one.

use std::fs;
use std::process::Command;

use turnlock_testing::process::through;
use turnlock_testing::{Running, ended, namespace, room};

use super::made::{doctor, found};

const DAMAGED: &str = "{\"a\":1}\n{\"cut he{\"b\":2}\n";

/// A shell that keeps the session open and appends what it is told.
fn writer(namespace: &[String], session: &std::path::Path, how: &str) -> Running {
    let script = format!("exec 3{how}\"$0\"; echo open; while read l; do echo \"$l\" >&3; done");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).arg(session);
    let mut running = match namespace {
        [] => Running::start(command),
        _ => Running::start(through(namespace, &command)),
    };
    assert_eq!(running.line(), "open");
    running
}

#[test]
fn a_session_that_another_process_has_open_for_writing_is_left_alone() {
    let namespaces = [Some(Vec::new()), namespace::pid_namespace(), namespace::mount_namespace()];
    for namespace in namespaces.into_iter().flatten() {
        for how in [">>", "<>"] {
            let room = room();
            fs::write(&room.session, DAMAGED).unwrap();
            let mut other = writer(&namespace, &room.session, how);
            let (answer, ended_as) = found(&["--fix"], &room.session);
            assert_eq!(ended_as.code, Some(1), "{answer}");
            let treatment = &answer["findings"][0]["treatment"];
            assert_eq!(treatment["action"], "kept", "{answer}");
            let reason = treatment["reason"].as_str().unwrap();
            assert!(reason.contains("(bash) has it open for writing"), "{reason}");
            if namespace.is_empty() {
                assert!(reason.contains(&format!("pid {} ", other.pid())), "{reason}");
            }
            assert_eq!(room.text(), DAMAGED);
            assert_eq!(room.names(), ["s.jsonl"], "nothing was begun");
            // The remedy works.
            if how == ">>" {
                other.say("{\"c\":3}\n");
            }
            assert_eq!(other.end().code, Some(0));
            assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
            let last = if how == ">>" { "{\"c\":3}\n" } else { "" };
            assert_eq!(room.text(), format!("{{\"a\":1}}\n{{\"b\":2}}\n{last}"));
        }
    }
}

#[test]
fn a_repair_is_not_undone_under_a_writer() {
    let room = room();
    fs::write(&room.session, DAMAGED).unwrap();
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    let other = writer(&[], &room.session, ">>");
    let undone = ended(doctor(&["--undo"], &room.session));
    assert_eq!(undone.code, Some(1));
    assert!(undone.err.contains("has it open for writing"), "{undone:?}");
    assert_eq!(other.end().code, Some(0));
    assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
    assert_eq!(room.text(), DAMAGED);
}

#[test]
fn who_only_reads_is_in_nobodys_way() {
    let room = room();
    fs::write(&room.session, DAMAGED).unwrap();
    let other = writer(&[], &room.session, "<");
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    drop(other);
}
