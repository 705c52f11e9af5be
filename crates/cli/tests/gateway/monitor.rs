//! The monitor: every change of state once.

use std::process::Stdio;
use std::sync::mpsc::Receiver;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::rig::*;

fn next(lines: &Receiver<String>) -> (String, String) {
    let line = lines.recv_timeout(DEADLINE).expect("the monitor tells of a change");
    let told: Value = serde_json::from_str(&line).unwrap();
    (told["from"].as_str().unwrap_or_default().to_owned(), told["to"].as_str().unwrap().to_owned())
}

fn change(from: &str, to: &str) -> (String, String) {
    (from.into(), to.into())
}

#[test]
fn a_gateway_that_is_stopped_continued_and_killed() {
    let room = room();
    let running = Running::ready(&mut room.run(&[]));
    let note = room.dir.path().join("note");
    let command = format!(
        "echo \"$TURNLOCK_STATE, was $TURNLOCK_PREVIOUS, pid $TURNLOCK_PID\" >> {}",
        note.display()
    );
    let mut monitor =
        gateway(&["monitor", "--every", "50ms", "--json", "--on-unhealthy", &command]);
    let mut monitor = Doomed(monitor.arg(&room.state).stdout(Stdio::piped()).spawn().unwrap());
    let lines = lines(monitor.0.stdout.take().unwrap());
    assert_eq!(next(&lines), change("", "healthy"));
    running.signal(Signal::STOP);
    assert_eq!(next(&lines), change("healthy", "locked-up"));
    running.signal(Signal::CONT);
    assert_eq!(next(&lines), change("locked-up", "healthy"));
    let pid = running.pid();
    running.kill();
    assert_eq!(next(&lines), change("healthy", "gone"));
    let _again = Running::ready(&mut room.run(&[]));
    assert_eq!(next(&lines), change("gone", "healthy"));
    kill_process(Pid::from_child(&monitor.0), Signal::TERM).unwrap();
    assert!(monitor.0.wait().unwrap().success());
    assert!(lines.recv().is_err(), "told nothing twice");
    let expected = format!("locked up, was healthy, pid {pid}\ngone, was healthy, pid {pid}\n");
    eventually("the command has run for both", || {
        (std::fs::read_to_string(&note).ok()? == expected).then_some(())
    });
}

#[test]
fn one_look_for_cron() {
    let (well, gone) = (room(), room());
    let sessions = well.state.join("agents/main/sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    let _running = Running::ready(&mut well.run(&[]));
    let look = |targets: &[&std::path::Path]| end(gateway(&["monitor", "--once"]).args(targets));
    let looked = look(&[&well.state]);
    assert!(looked.code == Some(0) && looked.out.contains("is healthy"), "{looked:?}");
    let looked = look(&[&well.state, std::path::Path::new(&gone.address().to_string())]);
    assert!(looked.code == Some(1) && looked.out.contains("is gone: refused"), "{looked:?}");
    let looked = look(&[&gone.dir.path().join("missing")]);
    assert!(
        looked.code == Some(1) && looked.out.contains("is gone: cannot find the directory"),
        "{looked:?}"
    );
    std::fs::write(sessions.join("s.jsonl.lock"), r#"{"pid":1073741824}"#).unwrap();
    let looked = look(&[&well.state]);
    assert!(
        looked.code == Some(1)
            && looked.out.contains("is degraded")
            && looked.out.contains("stale lock"),
        "{looked:?}"
    );
}

#[test]
fn to_look_without_a_pause_is_a_usage_error() {
    let refused = end(&mut gateway(&["monitor", "--once", "--every", "0s", "127.0.0.1:1"]));
    assert!(refused.code == Some(2) && refused.err.contains("longer than zero"), "{refused:?}");
    let longest =
        end(&mut gateway(&["monitor", "--once", "--every", "9223372036854775807s", "127.0.0.1:1"]));
    assert_eq!(longest.code, Some(1), "{longest:?}");
}

#[test]
fn what_cannot_be_looked_at_is_told_with_the_same_fields() {
    let room = room();
    let _running = Running::ready(&mut room.run(&[]));
    let missing = room.dir.path().join("missing");
    let looked = end(gateway(&["monitor", "--once", "--json"]).args([&room.state, &missing]));
    let told: Vec<Value> =
        looked.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fields = |told: &Value| told.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&told[0]), fields(&told[1]), "{looked:?}");
    let lost = told.iter().find(|told| told["to"] == "gone").unwrap();
    assert_eq!(
        (&lost["condition"], &lost["address"], &lost["pid"]),
        (&"gone".into(), &Value::Null, &Value::Null)
    );
    assert!(lost["error"].as_str().unwrap().contains("cannot find"), "{lost}");
}

#[test]
fn a_look_that_hangs_blinds_it_to_no_other() {
    let (hung, well) = (room(), room());
    let _running = Running::ready(&mut well.run(&[]));
    let agents = text(&hung.state.join("agents"));
    std::fs::create_dir(&agents).unwrap();
    // As on a dead mount: only the tracer lets it go.
    let mut traced = std::process::Command::new("strace");
    traced.args([
        "-qq",
        "-f",
        "-o",
        "/dev/null",
        "-P",
        &agents,
        "-e",
        "inject=openat:delay_enter=600s",
    ]);
    let monitor = gateway(&["monitor", "--once", "--json"]);
    traced.arg(monitor.get_program()).args(monitor.get_args()).args([&hung.state, &well.state]);
    if std::process::Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: there is no strace");
        return;
    }
    let mut monitor = Doomed(traced.stdout(Stdio::piped()).spawn().unwrap());
    let lines = lines(monitor.0.stdout.take().unwrap());
    assert_eq!(next(&lines), change("", "healthy"));
    assert_eq!(next(&lines), change("", "locked-up"));
}
