//! What the library counts, and what is served of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use turnlock_testing::{Running, ended, until};

use crate::command::{body, json};
use crate::rig::*;

#[test]
fn turns_waits_holds_take_overs_revocations_and_lost_locks_are_counted() {
    let home = home();
    let session = home.state.join("s.jsonl");
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let sessions = turnlock::Sessions::new();
        std::fs::write(session.with_extension("jsonl.lock"), r#"{"pid":1073741824}"#).unwrap();
        let turn = sessions.turn(&session).acquire_blocking().unwrap();
        sessions.turn(&session).timeout(Duration::ZERO).acquire_blocking().unwrap_err();
        sessions.revoke(&session, turn.owner()).unwrap();
        turn.release_blocking().unwrap_err();
        let gateway =
            turnlock::gateway::Gateway::builder(&home.state).port(0).acquire_blocking().unwrap();
        gateway.release_blocking().unwrap();
    });
    let text = handle.render();
    for line in [
        "turnlock_turns_total 1",
        "turnlock_timeouts_total 1",
        "turnlock_takeovers_total 1",
        "turnlock_revocations_total 1",
        "turnlock_lost_locks_total 1",
        "turnlock_wait_seconds_count 1",
        "turnlock_hold_seconds_count 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

/// The address at which a process says that it serves metrics.
fn metrics_of(running: &mut Running) -> SocketAddr {
    let line = running.until_it_says("metrics at http://");
    line.split_once("http://").unwrap().1.strip_suffix("/metrics").unwrap().parse().unwrap()
}

const BESIDE: [&str; 2] = ["--metrics", "127.0.0.1:0"];

#[test]
fn a_program_under_the_locks_has_metrics_beside_it() {
    let home = home();
    let Some(program) = python_gateway(home.port, "{}") else { return };
    let command = BESIDE.into_iter().chain(["--"]).chain(program.iter().map(String::as_str));
    let mut running = ready(home.run(&command.collect::<Vec<_>>()));
    let address = metrics_of(&mut running);
    let state = |state: &str, is_so: u8| {
        let target = home.state.display();
        format!("turnlock_gateways{{target=\"{target}\",state=\"{state}\"}} {is_so}")
    };
    until("the program is healthy", || get(address, "/metrics").contains(&state("healthy", 1)));
    assert!(get(address, "/metrics").contains(&state("gone", 0)));
    let health = json(body(&get(address, "/healthz")));
    assert_eq!(health["stateDir"], text(&home.state), "{health}");
    assert_eq!(health["configPath"], text(&home.state.join("openclaw.json")), "{health}");
}

#[test]
fn an_address_that_is_taken_is_an_error_and_leaves_no_lock() {
    let home = home();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = ended(home.run(&["--metrics", &address]));
    assert!(refused.code == Some(1), "{refused:?}");
    assert!(refused.err.contains(&format!("cannot serve metrics at {address}")), "{refused:?}");
    assert!(home.files().is_empty());
}

#[test]
fn a_monitor_serves_the_states_of_all_its_targets() {
    let (well, gone) = (home(), home());
    let sessions = well.state.join("sessions");
    std::fs::create_dir(&sessions).unwrap();
    let _running = ready(well.run(&[]));
    // Before it serves, it removes stale locks.
    assert!(get(well.address(), "/healthz").contains("200 OK"));
    std::fs::write(sessions.join("s.jsonl.lock"), r#"{"pid":1073741824}"#).unwrap();
    let mut monitor = gateway(&["monitor", "--every", "50ms"]);
    monitor.args(BESIDE).arg(&well.state).arg(gone.address().to_string());
    let mut monitor = Running::start(monitor);
    let address = metrics_of(&mut monitor);
    for line in [
        format!("turnlock_gateways{{target=\"{}\",state=\"degraded\"}} 1", text(&well.state)),
        format!("turnlock_gateways{{target=\"{}\",state=\"gone\"}} 1", gone.address()),
        format!("turnlock_session_locks{{target=\"{}\",state=\"stale\"}} 1", text(&well.state)),
    ] {
        until(&line, || get(address, "/metrics").contains(&line));
    }
    assert!(get(address, "/healthz").contains("\"ok\":true"));
}

/// The names, labels aside, that begin so.
fn named_in(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("turnlock_").map(|(at, _)| &text[at..]);
    let name = |rest: &str| rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())].to_owned();
    starts.map(name).collect()
}

/// Also before anything has happened.
#[test]
fn every_metric_is_described_and_those_of_the_dashboard_and_the_alerts_exist() {
    let home = home();
    let _running = ready(home.run(&[]));
    let text = get(home.address(), "/metrics");
    let text = body(&text);
    let after = |words: &str| -> BTreeSet<_> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(words));
        lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let (described, typed) = (after("# HELP "), after("# TYPE "));
    assert_eq!(described, typed, "{text}");
    for name in &typed {
        let has_unit = ["_seconds", "_total", "_locks", "_gateways", "_info"];
        assert!(has_unit.iter().any(|unit| name.ends_with(unit)), "{name}");
        assert!(text.lines().any(|line| line.starts_with(name.as_str())), "{name} in {text}");
    }
    let packaging = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    for file in ["grafana-dashboard.json", "prometheus-alerts.yml"] {
        let told = std::fs::read_to_string(packaging.join(file)).unwrap();
        if file.ends_with(".json") {
            json(&told);
        }
        let named = named_in(&told);
        assert!(named.len() > 5, "{named:?}");
        for name in named {
            let plain = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(typed.contains(plain), "{name} of {file} in {text}");
        }
        for state in told.split("state=").skip(1) {
            let states = state.trim_start_matches(['~', '\\', '"']);
            for state in states.split(['"', '\\']).next().unwrap().split('|') {
                assert!(text.contains(&format!("state=\"{state}\"")), "{state} of {file}");
            }
        }
    }
}
