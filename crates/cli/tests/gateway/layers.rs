//! The three layers, one after the other, and what is left when one of them is refused.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::process::Signal;
use turnlock_testing::namespace::mount_namespace;
use turnlock_testing::port::free_port;
use turnlock_testing::process::through;
use turnlock_testing::{DEADLINE, Running, ended, eventually, until};

use crate::rig::*;

#[test]
fn the_locks_are_private_tell_who_has_them_and_go_with_the_gateway() {
    let home = home();
    let mut running = ready(home.run(&[]));
    let files = home.files();
    assert_eq!(files.iter().filter(|file| text(file).ends_with(".lock")).count(), 2, "{files:?}");
    for file in &files {
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    let written = std::fs::read_to_string(home.state_lock()).unwrap();
    assert_eq!(written.trim_end().lines().count(), 1);
    let record: serde_json::Value = serde_json::from_str(&written).unwrap();
    for name in [
        "createdAt",
        "configPath",
        "startTime",
        "ownerId",
        "stateDir",
        "owner",
        "host",
        "bootId",
        "pidNs",
    ] {
        assert!(!record[name].is_null(), "{name} in {record}");
    }
    assert_eq!((&record["pid"], &record["port"]), (&running.pid().into(), &home.port.into()));
    assert_eq!((&record["role"], &record["protocol"]), (&"gateway".into(), &"turnlock/1".into()));
    running.signal(Signal::TERM);
    assert!(running.wait().success());
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn what_a_killed_gateway_leaves_goes_with_the_next_one() {
    let home = home();
    ready(home.run(&[])).kill();
    assert!(!home.files().is_empty());
    let mut next = ready(home.run_within("0s"));
    next.signal(Signal::TERM);
    assert!(next.wait().success());
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn a_start_that_waits_ends_when_it_is_told_to() {
    let home = home();
    let _first = ready(home.run(&[]));
    let mut waiting = Running::start(home.run_within("1h"));
    let handled = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", waiting.pid())).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
        (u64::from_str_radix(&mask, 16).ok()? & (1 << 14) != 0).then_some(())
    };
    eventually("it listens to SIGTERM", handled);
    waiting.signal(Signal::TERM);
    assert_eq!(waiting.wait().code(), Some(128 + 15), "it has not been a gateway");
    assert_eq!(home.ask("status", &[]).code, Some(0), "the first one goes on");
}

#[test]
fn a_link_to_the_state_directory_is_the_same_state_directory() {
    let home = home();
    let link = home.dir.path().join("link");
    symlink(&home.state, &link).unwrap();
    let _first = ready(home.run(&[]));
    let through = Home { dir: tempfile::tempdir().unwrap(), state: link, port: free_port() };
    let refused = ended(through.run_within("0s"));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.err.contains("it has the state directory"), "{refused:?}");
}

#[test]
fn several_gateways_on_one_config_need_a_state_directory_each() {
    let (a, b) = (home(), home());
    let config = text(&a.state.join("openclaw.json"));
    let locks = text(a.dir.path());
    let shared = ["--config", &config, "--lock-dir", &locks, "--timeout", "0s"];
    let _first = ready(a.run(&shared));
    assert!(ended(b.run(&shared)).err.contains("it has the config"));
    let _second = ready(b.run(&shared).arg("--multi"));
    let third = Home { port: free_port(), ..b };
    assert!(ended(third.run(&shared).arg("--multi")).err.contains("it has the state directory"));
}

#[test]
fn a_stranger_on_the_port_is_named_and_nothing_is_left() {
    let home = home();
    let _stranger = TcpListener::bind(home.address()).unwrap();
    let refused = ended(home.run_within("0s"));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    let words = format!(
        "another gateway instance is already listening on ws://127.0.0.1:{} (pid {}",
        home.port,
        std::process::id()
    );
    assert!(refused.err.contains(&words), "{refused:?}");
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn a_port_that_comes_free_in_time_is_taken() {
    let home = home();
    let stranger = TcpListener::bind(home.address()).unwrap();
    let mut running = Running::start(home.run(&[]));
    until("the locks are had", || home.state_lock().exists());
    drop(stranger);
    running.until_it_says("gateway on ws://");
}

#[test]
fn an_address_that_cannot_be_bound_is_told_with_its_cause() {
    let home = home();
    let refused = ended(home.run(&["--host", "192.0.2.1"]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let words = format!(
        "failed to bind gateway socket on ws://192.0.2.1:{}: Cannot assign requested address",
        home.port
    );
    assert!(refused.err.contains(&words), "{refused:?}");
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn a_gateway_whose_lock_is_removed_ends() {
    let home = home();
    let running = ready(home.run(&[]));
    std::fs::remove_file(home.state_lock()).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("the gateway's lock is lost"), "{ended:?}");
}

#[test]
fn a_full_disk_leaves_no_lock() {
    let Some(mut program) = mount_namespace() else { return };
    let home = home();
    let mut run = home.run_within("0s");
    let script = r#"mount -t tmpfs -o size=16k tmpfs "$STATE" &&
        mkdir -p "$STATE/tmp/openclaw-$(id -u)" &&
        { dd if=/dev/zero of="$STATE/full" bs=4k 2>/dev/null; "$0" "$@"; echo "code $?";
        find "$STATE" -name 'gateway*'; }"#;
    program.extend(["sh", "-c", script].map(String::from));
    let refused = ended(through(&program, run.env("STATE", &home.state)));
    assert_eq!(refused.out, "code 1\n", "{refused:?}");
    assert!(
        refused.err.contains("No space left on device") && refused.err.contains("make room"),
        "{refused:?}"
    );
}

#[test]
fn a_second_gateway_waits_for_the_first() {
    let home = home();
    let first = ready(home.run(&[]));
    let builder =
        turnlock::gateway::Gateway::builder(&home.state).port(home.port).acquire_timeout(DEADLINE);
    let second = std::thread::spawn(move || builder.acquire_blocking());
    first.signal(Signal::TERM);
    second.join().unwrap().unwrap().release_blocking().unwrap();
}
