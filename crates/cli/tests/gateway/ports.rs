//! Where a gateway listens, and where it is looked for: the port that its record names, else that
//! of its config, and only then the default one.

use std::net::TcpListener;

use serde_json::Value;
use turnlock_testing::{ended, until};

use crate::rig::{gateway, home, lives, ready, serve};

/// `turnlock gateway <verb>` without a port, as JSON.
fn asked(home: &crate::rig::Home, verb: &str) -> Value {
    crate::command::json(&home.ask(verb, &["--json"]).out)
}

fn write_config(home: &crate::rig::Home, port: u16) {
    let config = format!("// the config\n{{gateway: {{port: {port}, bind: 'loopback',}}}}");
    std::fs::write(home.state.join("openclaw.json"), config).unwrap();
}

#[test]
fn a_gateway_that_was_killed_is_gone_whoever_answers_elsewhere() {
    // Somebody else's gateway is where the config points by now.
    let home = home();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    write_config(&home, other.local_addr().unwrap().port());
    serve(other, "200 OK", "{\"ok\":true}");
    let mut running = ready(home.run(&[]));
    running.kill();
    until("its end", || !lives(running.pid()));
    let status = asked(&home, "status");
    assert_eq!(status["address"], home.address().to_string(), "{status}");
    assert_eq!(status["health"]["state"], "refused", "{status}");
    let seen = ended(gateway(&["monitor", "--once", "--json"]).arg(&home.state));
    assert_eq!(crate::command::json(&seen.out)["condition"], "gone", "{seen:?}");
}

#[test]
fn without_a_record_the_config_says_where_it_is() {
    let home = home();
    write_config(&home, home.port);
    let status = asked(&home, "status");
    assert_eq!(status["address"], home.address().to_string(), "{status}");
    serve(TcpListener::bind(home.address()).unwrap(), "200 OK", "{\"ok\":true}");
    assert_eq!(asked(&home, "status")["health"]["state"], "healthy");
    // A config elsewhere, and a port that was named.
    let other = self::home();
    write_config(&other, other.port);
    let config = other.state.join("openclaw.json");
    let status = home.ask("status", &["--json", "--config", config.to_str().unwrap()]);
    let status = crate::command::json(&status.out);
    assert_eq!(status["address"], other.address().to_string(), "{status}");
    let status = home.ask("status", &["--json", "--port", &other.port.to_string()]);
    let status = crate::command::json(&status.out);
    assert_eq!(status["address"], other.address().to_string(), "{status}");
}

#[test]
fn a_gateway_runs_on_the_port_of_its_config_unless_told_otherwise() {
    let home = home();
    write_config(&home, home.port);
    let running = ready(gateway(&["run", "--state-dir"]).arg(&home.state));
    assert_eq!(asked(&home, "status")["health"]["state"], "healthy");
    assert_eq!(asked(&home, "status")["address"], home.address().to_string());
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().code, Some(0));
    let other = self::home();
    write_config(&home, other.port);
    let _running = ready(home.run(&[]));
    assert_eq!(asked(&home, "status")["address"], home.address().to_string());
}

#[test]
fn a_config_that_cannot_be_read_is_told_and_stops_nothing() {
    let home = home();
    std::fs::write(home.state.join("openclaw.json"), "{gateway: {port: ").unwrap();
    let status = home.ask("status", &["--json"]);
    assert!(status.err.contains("gateway.port is not known"), "{status:?}");
    assert_eq!(crate::command::json(&status.out)["address"], "127.0.0.1:18789");
    let status = home.ask("status", &["--json", "--port", &home.port.to_string()]);
    assert_eq!(status.err, "", "with a port there is nothing to know");
    let _running = ready(home.run(&[]));
}
