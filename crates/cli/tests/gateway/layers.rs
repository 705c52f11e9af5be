//! The three layers, one after the other, and what is left when one of them is refused.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use rustix::process::Signal;

use crate::rig::*;

#[test]
fn the_locks_are_private_tell_who_has_them_and_go_with_the_gateway() {
    let room = room();
    let mut running = Running::ready(&mut room.run(&[]));
    let files = room.files();
    assert_eq!(files.iter().filter(|file| text(file).ends_with(".lock")).count(), 2, "{files:?}");
    for file in &files {
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    let written = std::fs::read_to_string(room.state_lock()).unwrap();
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
    assert_eq!((&record["pid"], &record["port"]), (&running.pid().into(), &room.port.into()));
    assert_eq!((&record["role"], &record["protocol"]), (&"gateway".into(), &"turnlock/1".into()));
    running.signal(Signal::TERM);
    assert!(running.wait().success());
    assert!(room.files().is_empty(), "{:?}", room.files());
}

#[test]
fn what_a_killed_gateway_leaves_goes_with_the_next_one() {
    let room = room();
    Running::ready(&mut room.run(&[])).kill();
    assert!(!room.files().is_empty());
    let mut next = Running::ready(&mut room.run_within("0s"));
    next.signal(Signal::TERM);
    assert!(next.wait().success());
    assert!(room.files().is_empty(), "{:?}", room.files());
}

#[test]
fn a_start_that_waits_ends_when_it_is_told_to() {
    let room = room();
    let _first = Running::ready(&mut room.run(&[]));
    let mut waiting = Running::start(&mut room.run_within("1h"));
    let handled = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", waiting.pid())).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
        (u64::from_str_radix(&mask, 16).ok()? & (1 << 14) != 0).then_some(())
    };
    eventually("it listens to SIGTERM", handled);
    waiting.signal(Signal::TERM);
    assert!(waiting.wait().success());
    assert_eq!(room.ask("status", &[]).code, Some(0), "the first one goes on");
}

#[test]
fn a_link_to_the_state_directory_is_the_same_state_directory() {
    let room = room();
    let link = room.dir.path().join("link");
    symlink(&room.state, &link).unwrap();
    let _first = Running::ready(&mut room.run(&[]));
    let through = Room { dir: tempfile::tempdir().unwrap(), state: link, port: free_port() };
    let refused = end(&mut through.run_within("0s"));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.err.contains("it has the state directory"), "{refused:?}");
}

#[test]
fn several_gateways_on_one_config_need_a_state_directory_each() {
    let (a, b) = (room(), room());
    let config = text(&a.state.join("openclaw.json"));
    let locks = text(a.dir.path());
    let shared = ["--config", &config, "--lock-dir", &locks, "--timeout", "0s"];
    let _first = Running::ready(&mut a.run(&shared));
    assert!(end(&mut b.run(&shared)).err.contains("it has the config"));
    let _second = Running::ready(b.run(&shared).arg("--multi"));
    let third = Room { port: free_port(), ..b };
    assert!(end(third.run(&shared).arg("--multi")).err.contains("it has the state directory"));
}

#[test]
fn a_stranger_on_the_port_is_named_and_nothing_is_left() {
    let room = room();
    let _stranger = TcpListener::bind(room.address()).unwrap();
    let refused = end(&mut room.run_within("0s"));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    let words = format!(
        "another gateway instance is already listening on ws://127.0.0.1:{} (pid {}",
        room.port,
        std::process::id()
    );
    assert!(refused.err.contains(&words), "{refused:?}");
    assert!(room.files().is_empty(), "{:?}", room.files());
}

#[test]
fn a_port_that_comes_free_in_time_is_taken() {
    let room = room();
    let stranger = TcpListener::bind(room.address()).unwrap();
    let mut running = Running::start(&mut room.run(&[]));
    eventually("the locks are had", || room.state_lock().exists().then_some(()));
    drop(stranger);
    running.until_it_says("gateway on ws://");
}

#[test]
fn an_address_that_cannot_be_bound_is_told_with_its_cause() {
    let room = room();
    let refused = end(&mut room.run(&["--host", "192.0.2.1"]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let words = format!(
        "failed to bind gateway socket on ws://192.0.2.1:{}: Cannot assign requested address",
        room.port
    );
    assert!(refused.err.contains(&words), "{refused:?}");
    assert!(room.files().is_empty(), "{:?}", room.files());
}

#[test]
fn a_gateway_whose_lock_is_removed_ends() {
    let room = room();
    let running = Running::ready(&mut room.run(&[]));
    std::fs::remove_file(room.state_lock()).unwrap();
    let ended = running.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("the gateway's lock is lost"), "{ended:?}");
}

#[test]
fn a_full_disk_leaves_no_lock() {
    if !may_unshare() {
        return;
    }
    let room = room();
    let run = room.run_within("0s");
    let script = r#"mount -t tmpfs -o size=16k tmpfs "$STATE" &&
        mkdir -p "$STATE/tmp/openclaw-$(id -u)" &&
        { dd if=/dev/zero of="$STATE/full" bs=4k 2>/dev/null; "$0" "$@"; echo "code $?";
        find "$STATE" -name 'gateway*'; }"#;
    let mut full = Command::new("unshare");
    full.args(["--mount", "sh", "-c", script])
        .arg(run.get_program())
        .args(run.get_args())
        .env("STATE", &room.state);
    let refused = end(&mut full);
    assert_eq!(refused.out, "code 1\n", "{refused:?}");
    assert!(
        refused.err.contains("No space left on device") && refused.err.contains("make room"),
        "{refused:?}"
    );
}

#[test]
fn a_second_gateway_waits_for_the_first() {
    let room = room();
    let first = Running::ready(&mut room.run(&[]));
    let builder =
        turnlock::gateway::Gateway::builder(&room.state).port(room.port).acquire_timeout(DEADLINE);
    let second = std::thread::spawn(move || builder.acquire_blocking());
    first.signal(rustix::process::Signal::TERM);
    second.join().unwrap().unwrap().release_blocking().unwrap();
}
