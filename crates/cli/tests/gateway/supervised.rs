//! Starting under a supervisor: what is at the port decides, and never for ever.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use turnlock::gateway::Gateway;

use crate::rig::*;

const SUPERVISED: [&str; 5] = ["--supervised=systemd", "--timeout", "0s", "--healthy-within", "1s"];

#[test]
fn a_healthy_gateway_is_success_and_78_under_systemd() {
    let room = room();
    let _first = Running::ready(&mut room.run(&[]));
    let words = format!("a healthy gateway is already listening on ws://127.0.0.1:{}", room.port);
    for (by, code) in [("--supervised=systemd", 78), ("--supervised=other", 0), ("--supervised", 0)]
    {
        let ended = end(room.run_within("0s").arg(by));
        assert_eq!(ended.code, Some(code), "{by}: {ended:?}");
        assert!(ended.err.contains(&words), "{ended:?}");
    }
    let ended = end(room.run_within("0s").arg("--supervised").env("INVOCATION_ID", "1"));
    assert_eq!(ended.code, Some(78), "{ended:?}");
}

#[test]
fn a_gateway_on_an_address_of_its_own_is_asked_there() {
    let room = room();
    let mut first = Running::ready(&mut room.run(&["--host", "127.0.0.2"]));
    let ended = end(&mut room.run(&SUPERVISED));
    assert!(ended.code == Some(78) && ended.err.contains("ws://127.0.0.2:"), "{ended:?}");
    let status = room.ask("status", &["--require-healthy"]);
    assert!(status.code == Some(0) && status.out.contains("(the owner)"), "{status:?}");
    assert_eq!(end(gateway(&["monitor", "--once"]).arg(&room.state)).code, Some(0));
    // Of one that has gone nothing is believed.
    first.child.kill().unwrap();
    first.wait();
    assert!(room.ask("status", &[]).out.contains("ws://127.0.0.1:18789"));
}

#[test]
fn a_limit_that_no_clock_reaches_is_none() {
    let room = room();
    let _first = Running::ready(&mut room.run(&[]));
    let more =
        ["--supervised=systemd", "--timeout", "0s", "--healthy-within", "9223372036854775807s"];
    let ended = end(&mut room.run(&more));
    assert_eq!(ended.code, Some(78), "{ended:?}");
}

#[test]
fn a_healthy_endpoint_on_the_port_is_success() {
    let room = room();
    answer(TcpListener::bind(room.address()).unwrap(), "200 OK", r#"{"ok":true,"status":"live"}"#);
    assert_eq!(end(&mut room.run(&SUPERVISED)).code, Some(78));
}

#[test]
fn a_hanging_endpoint_is_an_error_in_bounded_time() {
    let room = room();
    let _silent = TcpListener::bind(room.address()).unwrap();
    let began = Instant::now();
    let ended = end(&mut room.run(&SUPERVISED));
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.err.contains("already listening") && ended.err.contains("silent"), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn endpoints_that_are_not_well_or_no_gateways_are_errors() {
    for (status, body, told) in [
        ("500 Internal Server Error", "{}", "HTTP 500"),
        ("302 Found", "{}", "HTTP 302"),
        ("200 OK", r#"{"ok":false}"#, "it says ok: false"),
        ("200 OK", "<html></html>", "no gateway"),
    ] {
        let room = room();
        answer(TcpListener::bind(room.address()).unwrap(), status, body);
        let ended = end(&mut room.run(&SUPERVISED));
        assert_eq!(ended.code, Some(75), "{ended:?}");
        assert!(ended.err.contains(told), "{ended:?}");
    }
}

#[test]
fn a_slow_start_is_respected_and_waited_for() {
    let room = room();
    let mut slow = Gateway::builder(&room.state).port(room.port).acquire_blocking().unwrap();
    drop(slow.take_listener());
    // A free port proves nothing about the owner.
    let words =
        format!("gateway already running (pid {}); lock timeout after 0ms", std::process::id());
    let ended = end(&mut room.run_within("0s"));
    assert!(ended.code == Some(75) && ended.err.contains(&words), "{ended:?}");
    let ended = end(&mut room.run(&SUPERVISED));
    assert!(ended.code == Some(75) && ended.err.contains("refused (nobody listens)"), "{ended:?}");

    let waiting = Running::start(&mut room.run(&["--supervised=systemd", "--timeout", "0s"]));
    answer(TcpListener::bind(room.address()).unwrap(), "200 OK", "{}");
    assert_eq!(waiting.ended().code, Some(78));
    slow.release_blocking().unwrap();
}

#[test]
fn when_the_other_one_ends_the_supervised_one_takes_its_place() {
    let room = room();
    let mut other = Gateway::builder(&room.state).port(room.port).acquire_blocking().unwrap();
    drop(other.take_listener());
    let mut waiting = Running::start(&mut room.run(&["--supervised", "--timeout", "0s"]));
    other.release_blocking().unwrap();
    waiting.until_it_says("gateway on ws://");
}
