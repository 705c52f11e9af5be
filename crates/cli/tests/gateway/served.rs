//! The endpoints of `run` under clients of all kinds.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use turnlock_testing::process::through;

use crate::rig::*;

/// Clients that send a part of a request, and nothing more.
fn slow_clients(home: &Home, number: usize) -> Vec<TcpStream> {
    (0..number)
        .map(|_| {
            let mut client = TcpStream::connect(home.address()).unwrap();
            // Some are disconnected by now.
            let _ = client.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ");
            client
        })
        .collect()
}

fn raise_own_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(8192, |maximum| maximum.min(8192)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

#[test]
fn slow_clients_keep_nobody_from_the_health_check() {
    raise_own_limit();
    let few = ["prlimit", "--nofile=64:64"].map(String::from);
    let home = home();
    for tracer in [&few[..], &["env".to_owned()]] {
        let _running = ready(through(tracer, &home.run_within("5s")));
        let _clients = slow_clients(&home, 2000);
        let began = Instant::now();
        for _ in 0..5 {
            assert!(get(home.address(), "/healthz").contains("200 OK"));
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

fn ask(home: &Home, head: &str) -> String {
    use std::io::Read;
    let mut stream = TcpStream::connect(home.address()).unwrap();
    stream.set_read_timeout(Some(turnlock_testing::DEADLINE)).unwrap();
    write!(stream, "{head}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A page of a foreign site may have its name lead to this machine, and then read the answers.
#[test]
fn foreign_hosts_are_refused() {
    let home = home();
    let _running = ready(home.run(&["--allow-host", "gateway.example.org"]));
    let port = home.port;
    let answer = |host: &str| ask(&home, &format!("GET /healthz HTTP/1.1\r\nhost: {host}"));
    for own in [
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "127.0.0.1",
        "[::1]",
        "gateway",
        "gateway.example.org",
        "Gateway.Example.org.",
    ] {
        for host in [own.to_owned(), format!("{own}:{port}")] {
            assert!(answer(&host).starts_with("HTTP/1.1 200"), "{host}");
        }
    }
    for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a b", "."]
    {
        for host in [foreign.to_owned(), format!("{foreign}:{port}")] {
            let answer = answer(&host);
            assert!(answer.starts_with("HTTP/1.1 421"), "{host}: {answer}");
            assert!(!answer.contains("stateDir"), "{host}: {answer}");
        }
    }
    let two = ask(&home, "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.example");
    assert!(two.starts_with("HTTP/1.1 4"), "{two}");
    let absolute = ask(&home, "GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost");
    assert!(absolute.starts_with("HTTP/1.1 421"), "{absolute}");
    assert!(ask(&home, "GET /healthz HTTP/1.0").starts_with("HTTP/1.0 200"));
}

#[test]
fn a_long_head_is_refused() {
    let home = home();
    let _running = ready(home.run(&[]));
    let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(10_000));
    assert!(ask(&home, &long).starts_with("HTTP/1.1 431"));
}

#[test]
fn an_address_that_all_can_reach_is_warned_of() {
    let home = home();
    let mut running = ready(home.run(&["--host", "0.0.0.0"]));
    running.until_it_says("listens on all addresses of this machine");
}
