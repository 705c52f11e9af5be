//! Starting under a supervisor: what is at the port decides, and never for ever.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use turnlock::gateway::Gateway;
use turnlock_testing::{Running, ended};

use crate::rig::*;

const SUPERVISED: [&str; 5] = ["--supervised=systemd", "--timeout", "0s", "--healthy-within", "1s"];

#[test]
fn a_healthy_gateway_is_success_and_78_under_systemd() {
    let home = home();
    let _first = ready(home.run(&[]));
    let words = format!("a healthy gateway is already listening on ws://127.0.0.1:{}", home.port);
    for (by, code) in [("--supervised=systemd", 78), ("--supervised=other", 0), ("--supervised", 0)]
    {
        let answer = ended(home.run_within("0s").arg(by));
        assert_eq!(answer.code, Some(code), "{by}: {answer:?}");
        assert!(answer.err.contains(&words), "{answer:?}");
    }
    let answer = ended(home.run_within("0s").arg("--supervised").env("INVOCATION_ID", "1"));
    assert_eq!(answer.code, Some(78), "{answer:?}");
}

#[test]
fn a_gateway_on_an_address_of_its_own_is_asked_there() {
    let home = home();
    let mut first = ready(home.run(&["--host", "127.0.0.2"]));
    let answer = ended(home.run(&SUPERVISED));
    assert!(answer.code == Some(78) && answer.err.contains("ws://127.0.0.2:"), "{answer:?}");
    let status = home.ask("status", &["--require-healthy"]);
    assert!(status.code == Some(0) && status.out.contains("(the owner)"), "{status:?}");
    assert_eq!(ended(gateway(&["monitor", "--once"]).arg(&home.state)).code, Some(0));
    // One that has gone is missed where it was.
    first.kill();
    assert!(home.ask("status", &[]).out.contains("ws://127.0.0.2:"));
}

#[test]
fn a_limit_that_no_clock_reaches_is_none() {
    let home = home();
    let _first = ready(home.run(&[]));
    let more =
        ["--supervised=systemd", "--timeout", "0s", "--healthy-within", "9223372036854775807s"];
    let answer = ended(home.run(&more));
    assert_eq!(answer.code, Some(78), "{answer:?}");
}

#[test]
fn a_healthy_owner_is_seen_at_once() {
    let home = home();
    let _first = ready(home.run(&[]));
    let began = Instant::now();
    // With the 5 s that a start may wait for the locks.
    assert_eq!(ended(home.run(&["--supervised"])).code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_hanging_endpoint_is_an_error_in_bounded_time() {
    let home = home();
    let _silent = TcpListener::bind(home.address()).unwrap();
    let began = Instant::now();
    let answer = ended(home.run(&SUPERVISED));
    assert_eq!(answer.code, Some(75), "{answer:?}");
    assert!(
        answer.err.contains("already listening") && answer.err.contains("silent"),
        "{answer:?}"
    );
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
        let home = home();
        serve(TcpListener::bind(home.address()).unwrap(), status, body);
        let answer = ended(home.run(&SUPERVISED));
        assert_eq!(answer.code, Some(75), "{answer:?}");
        assert!(answer.err.contains(told), "{answer:?}");
    }
}

#[test]
fn a_slow_start_is_respected_and_waited_for() {
    let home = home();
    let mut slow = Gateway::builder(&home.state).port(home.port).acquire_blocking().unwrap();
    drop(slow.take_listener());
    // A free port proves nothing about the owner.
    let words =
        format!("gateway already running (pid {}); lock timeout after 0ms", std::process::id());
    let answer = ended(home.run_within("0s"));
    assert!(answer.code == Some(75) && answer.err.contains(&words), "{answer:?}");
    let answer = ended(home.run(&SUPERVISED));
    assert!(
        answer.code == Some(75) && answer.err.contains("refused (nobody listens)"),
        "{answer:?}"
    );

    let waiting = Running::start(home.run(&["--supervised=systemd", "--timeout", "0s"]));
    serve(TcpListener::bind(home.address()).unwrap(), "200 OK", "{}");
    assert_eq!(waiting.end().code, Some(78));
    slow.release_blocking().unwrap();
}

#[test]
fn when_the_other_one_ends_the_supervised_one_takes_its_place() {
    let home = home();
    let mut other = Gateway::builder(&home.state).port(home.port).acquire_blocking().unwrap();
    drop(other.take_listener());
    let mut waiting = Running::start(home.run(&["--supervised", "--timeout", "0s"]));
    other.release_blocking().unwrap();
    waiting.until_it_says("gateway on ws://");
}
