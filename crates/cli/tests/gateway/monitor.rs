//! The monitor: every change of state once.

use rustix::process::Signal;
use serde_json::Value;
use turnlock_testing::process::through;
use turnlock_testing::{Running, ended, until};

use crate::rig::*;

/// The next change that the monitor tells of.
fn next(monitor: &mut Running) -> (String, String) {
    let told: Value = serde_json::from_str(&monitor.line()).unwrap();
    (told["from"].as_str().unwrap_or_default().to_owned(), told["to"].as_str().unwrap().to_owned())
}

fn change(from: &str, to: &str) -> (String, String) {
    (from.into(), to.into())
}

#[test]
fn a_gateway_that_is_stopped_continued_and_killed() {
    let home = home();
    let mut running = ready(home.run(&[]));
    let note = home.dir.path().join("note");
    let command = format!(
        "echo \"$TURNLOCK_STATE, was $TURNLOCK_PREVIOUS, pid $TURNLOCK_PID\" >> {}",
        note.display()
    );
    let mut monitor =
        gateway(&["monitor", "--every", "50ms", "--json", "--on-unhealthy", &command]);
    let mut monitor = Running::start(monitor.arg(&home.state));
    assert_eq!(next(&mut monitor), change("", "healthy"));
    running.signal(Signal::STOP);
    assert_eq!(next(&mut monitor), change("healthy", "locked-up"));
    running.signal(Signal::CONT);
    assert_eq!(next(&mut monitor), change("locked-up", "healthy"));
    let pid = running.pid();
    running.kill();
    assert_eq!(next(&mut monitor), change("healthy", "gone"));
    let _again = ready(home.run(&[]));
    assert_eq!(next(&mut monitor), change("gone", "healthy"));
    monitor.signal(Signal::TERM);
    let ended = monitor.end();
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "told nothing twice");
    let expected = format!("locked up, was healthy, pid {pid}\ngone, was healthy, pid {pid}\n");
    until("the command has run for both", || {
        std::fs::read_to_string(&note).is_ok_and(|said| said == expected)
    });
}

#[test]
fn one_look_for_cron() {
    let (well, gone) = (home(), home());
    let sessions = well.state.join("agents/main/sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    let _running = ready(well.run(&[]));
    let look = |targets: &[&std::path::Path]| ended(gateway(&["monitor", "--once"]).args(targets));
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
    for pause in ["0s", "1ns", "49ms"] {
        let refused = ended(gateway(&["monitor", "--once", "--every", pause, "127.0.0.1:1"]));
        assert!(refused.code == Some(2) && refused.err.contains("at least 50ms"), "{refused:?}");
    }
    let longest =
        ended(gateway(&["monitor", "--once", "--every", "9223372036854775807s", "127.0.0.1:1"]));
    assert_eq!(longest.code, Some(1), "{longest:?}");
}

#[test]
fn what_cannot_be_looked_at_is_told_with_the_same_fields() {
    let home = home();
    let _running = ready(home.run(&[]));
    let missing = home.dir.path().join("missing");
    let looked = ended(gateway(&["monitor", "--once", "--json"]).args([&home.state, &missing]));
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
    let (hung, well) = (home(), home());
    let _running = ready(well.run(&[]));
    let agents = hung.state.join("agents");
    std::fs::create_dir(&agents).unwrap();
    let Some(tracer) = dead_mount(&agents) else { return };
    let mut monitor = gateway(&["monitor", "--once", "--json"]);
    monitor.args([&hung.state, &well.state]);
    let mut monitor = Running::start(through(&tracer, &monitor));
    assert_eq!(next(&mut monitor), change("", "healthy"));
    assert_eq!(next(&mut monitor), change("", "locked-up"));
}

#[test]
fn a_name_with_a_port_is_an_address() {
    let home = home();
    let _running = ready(home.run(&[]));
    let target = format!("localhost:{}", home.port);
    let looked = ended(gateway(&["monitor", "--once", &target]));
    assert!(looked.code == Some(0) && looked.out.contains("is healthy"), "{looked:?}");
    let looked = ended(gateway(&["monitor", "--once", "no-such-host.invalid:1"]));
    assert!(looked.code == Some(1) && looked.out.contains("is unknown"), "{looked:?}");
}

#[test]
fn the_command_s_output_is_no_answer() {
    let home = home();
    let looked = ended(
        gateway(&["monitor", "--once", "--json", "--on-unhealthy", "echo from the hook"])
            .arg(home.address().to_string()),
    );
    let told: Value =
        serde_json::from_str(&looked.out).unwrap_or_else(|e| panic!("{e}: {looked:?}"));
    assert_eq!(told["to"], "gone");
    assert!(looked.err.contains("from the hook"), "{looked:?}");
}

#[test]
fn the_command_is_run_however_much_is_wrong_and_gets_no_control_characters() {
    let home = home();
    let sessions = home.state.join("sessions");
    std::fs::create_dir(&sessions).unwrap();
    let _running = ready(home.run(&[]));
    for n in 0..100 {
        let name = format!("{n}\n\u{202e}{}.jsonl.lock", "x".repeat(200));
        std::fs::write(sessions.join(name), r#"{"pid":1073741824}"#).unwrap();
    }
    let hook = "printf '%s' \"$TURNLOCK_REASON\" >&2";
    let looked = ended(gateway(&["monitor", "--once", "--on-unhealthy", hook]).arg(&home.state));
    assert_eq!(looked.code, Some(1));
    assert!(looked.err.contains("has a stale lock"), "{}", looked.err);
    assert!(looked.err.len() < 5000 && looked.err.contains(" reasons)"), "{}", looked.err);
    assert!(!looked.err.trim_end().contains(['\n', '\u{202e}']), "{}", looked.err);
    assert!(!looked.out.contains('\u{202e}'), "{}", looked.out);
}

#[test]
fn a_command_that_could_not_be_started_is_started_later() {
    let home = home();
    let note = home.dir.path().join("note");
    let bin = home.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let command = format!("echo $TURNLOCK_STATE >> {}", note.display());
    let mut monitor = gateway(&["monitor", "--every", "50ms", "--on-unhealthy", &command]);
    monitor.arg(home.address().to_string()).env("PATH", &bin);
    let mut monitor = Running::start(monitor);
    monitor.until_it_says("cannot run the command of --on-unhealthy");
    std::os::unix::fs::symlink("/bin/sh", bin.join("sh")).unwrap();
    until("the command has run", || {
        std::fs::read_to_string(&note).is_ok_and(|said| said == "gone\n")
    });
    monitor.signal(Signal::TERM);
    assert_eq!(monitor.end().code, Some(0));
}

/// A permission is not a death, and too few descriptors are our own affair.
#[test]
fn what_cannot_be_seen_is_unknown() {
    let home = home();
    let mode = |mode| <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
    std::fs::set_permissions(&home.state, mode(0o700)).unwrap();
    let mut stranger = gateway(&["monitor", "--once"]);
    stranger.arg(&home.state);
    let nobody = ["setpriv", "--reuid", "65534", "--clear-groups", "--regid", "65534"];
    let nobody: Vec<String> = nobody.map(String::from).into();
    // The command itself is copied to where all may read.
    let public = tempfile::tempdir().unwrap();
    std::fs::set_permissions(public.path(), mode(0o755)).unwrap();
    let program = public.path().join("turnlock");
    std::fs::copy(env!("CARGO_BIN_EXE_turnlock"), &program).unwrap();
    let mut command = std::process::Command::new(&nobody[0]);
    command.args(&nobody[1..]).arg(&program).args(stranger.get_args());
    let looked = ended(command);
    assert!(looked.code == Some(1) && looked.out.contains("is unknown"), "{looked:?}");
    assert!(looked.out.contains("Permission denied"), "{looked:?}");

    // Nothing was answered on the way to the address; the limit is this process's own.
    let few = ["prlimit", "--nofile=12:12"].map(String::from);
    let mut monitor = gateway(&["monitor", "--once"]);
    monitor.args(["127.0.0.1:1"; 8]);
    let looked = ended(through(&few, &monitor));
    assert!(looked.code == Some(1) && looked.out.contains("is unknown"), "{looked:?}");
    assert!(looked.out.contains("Too many open files"), "{looked:?}");
    assert!(!looked.out.contains("is degraded"), "{looked:?}");
}

/// Takes the bodies of the next requests, and answers each with the next status.
fn receiver(statuses: &'static [&'static str]) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=hunter2", listener.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (stream, status) in listener.incoming().flatten().zip(statuses) {
            let _ = tell.send(taken(stream, status));
        }
    });
    (url, told)
}

fn taken(mut stream: std::net::TcpStream, status: &str) -> String {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_recovery_has_a_command_of_its_own_and_both_are_told_when() {
    let home = home();
    let note = home.dir.path().join("note");
    let hook =
        |what: &str| format!("echo {what} $TURNLOCK_STATE $TURNLOCK_AT >> {}", note.display());
    let mut monitor = gateway(&["monitor", "--every", "50ms", "--json"]);
    monitor.args(["--on-unhealthy", &hook("bad"), "--on-recovered", &hook("good")]);
    let mut monitor = Running::start(monitor.arg(&home.state));
    assert_eq!(next(&mut monitor), change("", "gone"));
    let said = || std::fs::read_to_string(&note).unwrap_or_default();
    until("the first command has run", || said().lines().count() == 1);
    let mut running = ready(home.run(&[]));
    assert_eq!(next(&mut monitor), change("gone", "healthy"));
    until("the second command has run", || said().lines().count() == 2);
    let said = said();
    for (line, begin) in said.lines().zip(["bad gone ", "good healthy "]) {
        let at = line.strip_prefix(begin).unwrap_or_else(|| panic!("{said}"));
        assert!(at.parse::<jiff::Timestamp>().is_ok(), "{at}");
    }
    running.kill();
}

#[test]
fn a_first_look_that_is_healthy_is_no_recovery() {
    let home = home();
    let _running = ready(home.run(&[]));
    let mut monitor = gateway(&["monitor", "--once", "--on-recovered", "echo recovered"]);
    let looked = ended(monitor.arg(&home.state));
    assert!(looked.code == Some(0) && !looked.err.contains("recovered"), "{looked:?}");
}

#[test]
fn changes_are_posted_and_posted_again_until_they_are_taken() {
    let home = home();
    let (url, told) = receiver(&["503 Busy", "204 No Content"]);
    let mut monitor = gateway(&["monitor", "--every", "50ms", "--json"]);
    // A secret in the URL is not for those who may see the command line.
    monitor.env("TURNLOCK_WEBHOOK", &url).arg(home.address().to_string());
    let mut monitor = Running::start(monitor);
    let printed: Value = serde_json::from_str(&monitor.line()).unwrap();
    for _ in 0..2 {
        let posted = told.recv_timeout(turnlock_testing::DEADLINE).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&posted).unwrap(), printed);
    }
    assert_eq!((&printed["to"], printed["at"].is_string()), (&"gone".into(), true));
}

#[test]
fn a_post_that_fails_is_told_without_the_url() {
    let (url, _told) = receiver(&["404 Not Found"]);
    let looked = ended(gateway(&["monitor", "--once", "--webhook", &url, "127.0.0.1:1"]));
    assert_eq!(looked.code, Some(1), "{looked:?}");
    assert!(looked.err.contains("cannot post") && looked.err.contains("404"), "{looked:?}");
    assert!(!looked.err.contains("hunter2"), "{looked:?}");
    for url in ["ftp://x/", "no url", "https://"] {
        let refused = ended(gateway(&["monitor", "--once", "--webhook", url, "127.0.0.1:1"]));
        assert_eq!(refused.code, Some(2), "{url}: {refused:?}");
    }
}
