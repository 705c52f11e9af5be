//! What `run` serves, what `status` tells, and what `doctor` finds.

use std::net::TcpListener;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;
use serde_json::Value;
use turnlock_testing::process::{signal, through};
use turnlock_testing::{Running, ended, until};

use crate::rig::*;

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn health_and_metrics_are_served() {
    let home = home();
    let sessions = home.state.join("agents/main/sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    let running = ready(home.run(&[]));
    let _turn =
        turnlock::Sessions::new().turn(sessions.join("s.jsonl")).acquire_blocking().unwrap();
    let health = json(body(&get(home.address(), "/healthz")));
    assert_eq!((&health["ok"], &health["pid"]), (&true.into(), &running.pid().into()));
    assert_eq!(
        (&health["stateDir"], &health["heldSessions"]),
        (&text(&home.state).into(), &1.into())
    );
    let metrics = get(home.address(), "/metrics");
    assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
    let held =
        format!("turnlock_session_locks{{target=\"{}\",state=\"held\"}} 1", home.state.display());
    assert!(body(&metrics).contains(&held), "{metrics}");
    assert!(get(home.address(), "/").starts_with("HTTP/1.1 404"));
}

#[test]
fn stale_session_locks_are_removed_at_start_and_named() {
    let home = home();
    let sessions = home.state.join("agents/main/sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    let stale = sessions.join("old.jsonl.lock");
    std::fs::write(&stale, r#"{"pid":1073741824,"createdAt":"2026-01-01T00:00:00.000Z"}"#).unwrap();
    let mut running = ready(home.run(&[]));
    let line = running.until_it_says("removed a stale session lock");
    assert!(line.contains("old.jsonl.lock (dead-pid"), "{line}");
    assert!(!stale.exists());
}

#[test]
fn it_ends_when_told_so_also_while_it_looks_for_stale_locks() {
    let home = home();
    let sessions = home.state.join("sessions");
    std::fs::create_dir(&sessions).unwrap();
    let Some(tracer) = dead_mount(&sessions) else { return };
    let mut running = Running::start(through(&tracer, &home.run(&[])));
    let line = running.until_it_says("gateway on ws://");
    let pid = line.split_once("(pid ").unwrap().1.split_once(')').unwrap().0.parse().unwrap();
    signal(pid, Signal::TERM);
    until("its locks are gone", || !home.state_lock().exists());
}

#[test]
fn a_lock_that_cannot_be_looked_at_is_not_lost() {
    let home = home();
    let mut running = ready(home.run(&[]));
    // In one step: between two it would be gone.
    let link = home.dir.path().join("link");
    std::os::unix::fs::symlink(&home.state, &link).unwrap();
    let exchange = || renameat_with(CWD, &link, CWD, &home.state, RenameFlags::EXCHANGE).unwrap();
    exchange();
    running.until_it_says("cannot see whether the gateway's locks are still its own");
    exchange();
    assert!(get(home.address(), "/healthz").contains("200 OK"));
    // One that is gone is.
    std::fs::remove_file(home.state_lock()).unwrap();
    running.until_it_says("the gateway's lock is lost");
    assert_eq!(running.wait().code(), Some(1));
}

#[test]
fn owner_listener_and_health_are_three_facts() {
    let home = home();
    let mut running = ready(home.run(&[]));
    let status = home.ask("status", &["--json", "--require-healthy"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    let status = json(&status.out);
    assert_eq!(status["stateLock"]["state"], "held");
    assert_eq!(status["stateLock"]["process"]["pid"], running.pid());
    assert_eq!(status["stateLock"]["process"]["identity"], "verified");
    assert_eq!(status["listener"]["pids"], serde_json::json!([running.pid()]));
    assert_eq!(status["health"]["state"], "healthy");
    running.kill();
    // The owner has gone, its record stays, and somebody else answers on its port.
    serve(TcpListener::bind(home.address()).unwrap(), "200 OK", "{}");
    let port = home.port.to_string();
    let status = home.ask("status", &["--json", "--port", &port]);
    assert_eq!(status.code, Some(1), "{status:?}");
    let status = json(&status.out);
    assert_eq!(status["stateLock"]["state"], "stale");
    assert_eq!(status["stateLock"]["process"]["identity"], "gone");
    assert_eq!(status["listener"]["pids"], serde_json::json!([std::process::id()]));
    assert_eq!(status["health"]["state"], "healthy");
}

#[test]
fn a_killed_gateway_starts_again_although_a_snapshot_has_its_locks() {
    let home = home();
    for _ in 0..2 {
        let mut running = ready(home.run(&[]));
        let links: Vec<_> = ["snapshot", "another"].map(|name| home.dir.path().join(name)).into();
        for link in &links {
            std::fs::hard_link(home.state_lock(), link).unwrap();
        }
        assert!(get(home.address(), "/healthz").contains("200 OK"));
        assert_eq!(home.ask("status", &["--require-healthy"]).code, Some(0));
        running.kill();
        let record = std::fs::read(&links[0]).unwrap();
        ready(home.run(&[])).kill();
        assert_eq!(std::fs::read(&links[0]).unwrap(), record);
        for link in &links {
            std::fs::remove_file(link).unwrap();
        }
    }
}

#[test]
fn the_doctor_removes_no_directory_that_holds_files_and_follows_no_link() {
    let home = home();
    let elsewhere = home.dir.path().join("elsewhere");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let guard = |dir: &std::path::Path, file: Option<&str>| {
        std::fs::create_dir_all(dir).unwrap();
        if let Some(file) = file {
            std::fs::write(dir.join(file), "years of work").unwrap();
        }
        std::fs::File::open(dir).unwrap().set_modified(old).unwrap();
    };
    // A name that only ends like a guard's, a guard's name with files in it, and one behind a link.
    guard(&home.state.join("notes.lock.reclaim"), Some("thesis.txt"));
    guard(&home.state.join("notes-without-files.lock.reclaim"), None);
    guard(&home.state.join("agents/main/sessions/s.jsonl.lock.reclaim"), Some("thesis.txt"));
    guard(&home.state.join("agents/main/sessions/t.jsonl.lock.reclaim"), None);
    guard(&elsewhere.join("s.jsonl.lock.reclaim"), None);
    guard(&elsewhere.join("sessions/s.jsonl.lock.reclaim"), None);
    std::fs::create_dir(home.state.join("agents/evil")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.state.join("agents/evil/sessions")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.state.join("agents/worse")).unwrap();

    let fixed = home.ask("doctor", &["--port", &home.port.to_string(), "--fix"]);
    assert_eq!(fixed.code, Some(1), "what is left is told: {fixed:?}");
    assert!(fixed.out.contains("it is not empty"), "{fixed:?}");
    for kept in [
        "state/notes.lock.reclaim/thesis.txt",
        "state/notes-without-files.lock.reclaim",
        "state/agents/main/sessions/s.jsonl.lock.reclaim/thesis.txt",
        "elsewhere/s.jsonl.lock.reclaim",
        "elsewhere/sessions/s.jsonl.lock.reclaim",
    ] {
        assert!(home.dir.path().join(kept).exists(), "{kept}: {fixed:?}");
    }
    assert!(!home.state.join("agents/main/sessions/t.jsonl.lock.reclaim").exists(), "{fixed:?}");
}

#[test]
fn the_doctor_finds_what_is_wrong_and_mends_what_nobody_holds() {
    let home = home();
    ready(home.run(&[])).kill();
    let reclaim = home.state.join("gateway.0a0b0c0d.lock.reclaim");
    std::fs::create_dir(&reclaim).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(&reclaim).unwrap().set_modified(old).unwrap();
    std::fs::create_dir(home.state.join("gateway.0f0e5000.lock.reclaim")).unwrap();
    let port = home.port.to_string();
    let stranger = TcpListener::bind(home.address()).unwrap();

    let found = home.ask("doctor", &["--port", &port]);
    assert_eq!(found.code, Some(1), "{found:?}");
    for words in [
        "gateway.state.lock pid=",
        "stale=yes (dead-owner)",
        "orphaned reclaim",
        "no gateway lock names it",
    ] {
        assert!(found.out.contains(words), "{words}: {found:?}");
    }
    assert!(home.state_lock().exists() && reclaim.exists());
    drop(stranger);

    let fixed = home.ask("doctor", &["--port", &port, "--fix"]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(!home.state_lock().exists() && !reclaim.exists());
    assert!(home.state.join("gateway.0f0e5000.lock.reclaim").exists(), "its maker may live");
    let well = home.ask("doctor", &["--port", &port]);
    assert_eq!(well.code, Some(0), "{well:?}");
}

#[test]
fn the_doctor_leaves_the_files_of_other_programs_alone() {
    let home = home();
    let names =
        ["gateway.other.lock", "gateway.0A0B0C0D.lock", "gateway.0a0b0c0.lock", "gateway.lock"];
    for name in names {
        let path = home.state.join(name);
        std::fs::write(&path, r#"{"pid":1073741824}"#).unwrap();
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
    }
    let found = home.ask("doctor", &["--port", &home.port.to_string(), "--fix"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert_eq!(home.files().len(), names.len());
}

#[test]
fn the_doctor_leaves_a_living_gateway_alone() {
    let home = home();
    let mut gateway = turnlock::gateway::Gateway::builder(&home.state)
        .port(home.port)
        .acquire_blocking()
        .unwrap();
    drop(gateway.take_listener());
    let found = home.ask("doctor", &["--fix"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.out.contains("does not listen on"), "{found:?}");
    assert_eq!(gateway.lost().unwrap(), None);
}

#[test]
fn a_port_that_the_system_chose_is_remembered_and_told() {
    let home = home();
    let run = |more: &[&str]| {
        let mut command = gateway(&["run", "--port", "0", "--state-dir"]);
        command.arg(&home.state).args(more);
        command
    };
    let mut running = Running::start(run(&[]));
    let line = running.until_it_says("gateway on ws://");
    let address = line.split_once("ws://").unwrap().1.split_once(' ').unwrap().0;
    let status = json(&home.ask("status", &["--json", "--require-healthy"]).out);
    assert_eq!(status["address"], address, "{status}");
    assert_eq!(status["stateLock"]["port"].to_string(), address.split_once(':').unwrap().1);
    assert_eq!(home.ask("doctor", &[]).code, Some(0));
    let stopped = home.ask("stop", &["--pid", &running.pid().to_string()]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(running.wait().success());

    let note = home.dir.path().join("note");
    let script = format!("echo $OPENCLAW_GATEWAY_PORT > {}", note.display());
    let mut running = Running::start(run(&["--", "sh", "-c", &script]));
    let line = running.until_it_says("gateway on ws://127.0.0.1:");
    assert!(running.wait().success());
    let told = std::fs::read_to_string(&note).unwrap();
    assert!(line.contains(&format!(":{} ", told.trim())) && told.trim() != "0", "{line}: {told}");
}

#[test]
fn a_stranger_of_the_other_family_is_not_the_listener() {
    let home = home();
    let Ok(_stranger) = TcpListener::bind(("::1", home.port)) else { return };
    let port = home.port.to_string();
    let status = json(&home.ask("status", &["--json", "--port", &port]).out);
    assert_eq!(status["listener"], Value::Null, "{status}");
    assert_eq!(home.ask("doctor", &["--port", &port]).code, Some(0));
    let _running = ready(home.run(&["--host", "0.0.0.0"]));
    let status = json(&home.ask("status", &["--json"]).out);
    assert_eq!(status["listener"]["address"], format!("0.0.0.0:{port}"), "{status}");
}

#[test]
fn secrets_of_a_command_line_are_not_shown() {
    let home = home();
    let script = "import socket,sys,time; s=socket.socket(); \
                  s.bind(('127.0.0.1',int(sys.argv[1]))); \
                  s.listen(); print('ready', flush=True); time.sleep(600)";
    let port = home.port.to_string();
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script, &port, "--token=hunter2", "--password", "hunter2"]);
    let Ok(mut listening) = command.stdout(std::process::Stdio::piped()).spawn() else { return };
    let listens = || std::net::TcpStream::connect(home.address()).is_ok();
    until("it listens", listens);
    let status = home.ask("status", &["--port", &port]);
    let found = home.ask("doctor", &["--port", &port, "--json"]);
    let refused = ended(home.run_within("0s"));
    let _ = listening.kill();
    let _ = listening.wait();
    for told in [&status.out, &found.out, &refused.err] {
        assert!(told.contains("--token=***") && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn there_is_no_force() {
    let home = home();
    for command in [
        home.run(&["--force"]),
        gateway(&["stop", "--force"]),
        gateway(&["stop", "--force", "--pid", "1"]),
    ] {
        let refused = ended(command);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("with `turnlock gateway stop`"), "{refused:?}");
    }
}
