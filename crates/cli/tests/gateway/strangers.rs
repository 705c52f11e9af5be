//! A supervised start, and a healthy endpoint that is not this gateway.

use std::net::TcpListener;
use std::process::Command;

use turnlock::gateway::Gateway;
use turnlock_testing::namespace::mount_namespace;
use turnlock_testing::port::free_port;
use turnlock_testing::process::through;
use turnlock_testing::{Ended, ended, until};

use crate::rig::*;

const SUPERVISED: [&str; 3] = ["--supervised", "--timeout", "0s"];

/// No success, whatever it answers.
fn refuses(mut command: Command, why: &str) -> Ended {
    let refused = ended(command.args(SUPERVISED));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(
        refused.err.contains("is not this gateway") && refused.err.contains(why),
        "{refused:?}"
    );
    refused
}

#[test]
fn a_program_without_a_lock_is_named() {
    for body in [r#"{"database":"ok"}"#, r#"{"ok":true,"status":"live"}"#] {
        let home = home();
        serve(TcpListener::bind(home.address()).unwrap(), "200 OK", body);
        let refused = refuses(home.run(&[]), "it has no lock of this state directory");
        assert!(refused.err.contains(&format!("(pid {}", std::process::id())), "{refused:?}");
        assert!(home.files().is_empty(), "{:?}", home.files());
    }
}

#[test]
fn a_gateway_of_another_state_directory_is_a_stranger() {
    let (ours, other) = (home(), home());
    let other = Home { port: ours.port, ..other };
    let running = ready(other.run(&[]));
    let refused = refuses(ours.run(&[]), "it has no lock");
    assert!(refused.err.contains(&format!("(pid {}", running.pid())), "{refused:?}");
}

#[test]
fn so_is_one_of_another_state_directory_or_config_that_has_one_of_the_locks() {
    let (a, b) = (home(), home());
    let (config, locks) = (text(&a.state.join("openclaw.json")), text(a.dir.path()));
    let shared = ["--config", &config, "--lock-dir", &locks];
    let _first = ready(a.run(&shared));
    refuses(b.run(&shared), "its lock names another state directory");
    refuses(a.run(&["--config", "/elsewhere/x.json"]), "its lock names another config");
    let own = ended(a.run(&shared).args(SUPERVISED));
    assert_eq!(own.code, Some(0), "{own:?}");
}

#[test]
fn so_is_whoever_has_the_port_of_an_owner_that_does_not_listen() {
    let (ours, other) = (home(), home());
    let _owner = ready(ours.run(&["--", "sleep", "1000"]));
    until("the port is free", || TcpListener::bind(ours.address()).is_ok());
    let other = Home { port: ours.port, ..other };
    let _stranger = ready(other.run(&[]));
    refuses(ours.run(&[]), "is not the owner of the lock");
}

#[test]
fn so_is_one_that_says_that_it_serves_another_state_directory() {
    let home = home();
    let mut owner = Gateway::builder(&home.state).port(home.port).acquire_blocking().unwrap();
    drop(owner.take_listener());
    serve(TcpListener::bind(home.address()).unwrap(), "200 OK", r#"{"stateDir":"/elsewhere"}"#);
    refuses(home.run(&[]), "it says that it serves another state directory");
    owner.release_blocking().unwrap();
}

/// A container sees the same directory by another name.
#[test]
fn another_name_of_the_same_directory_is_no_other_directory() {
    let Some(program) = mount_namespace() else { return };
    let home = home();
    let inside = Home {
        dir: tempfile::tempdir().unwrap(),
        state: home.dir.path().join("data"),
        port: home.port,
    };
    std::fs::create_dir(&inside.state).unwrap();
    let bind = format!(
        "mount --bind '{}' '{}' && exec \"$@\"",
        home.state.display(),
        inside.state.display()
    );
    let program = [program, ["sh", "-c", &bind, "sh"].map(String::from).into()].concat();
    let _running = ready(through(&program, &inside.run(&[])));
    let answer = ended(home.run(&SUPERVISED));
    assert_eq!(answer.code, Some(0), "{answer:?}");
}

#[test]
fn a_program_under_the_locks_is_this_gateway() {
    let home = home();
    for body in [r#"{"ok":true}"#.to_owned(), format!(r#"{{"stateDir":"{}"}}"#, text(&home.state))]
    {
        let Some(program) = python_gateway(home.port, &body) else { return };
        let program: Vec<_> =
            ["--"].into_iter().chain(program.iter().map(String::as_str)).collect();
        let _running = ready(home.run(&program));
        let answer = ended(home.run(&["--supervised"]));
        assert_eq!(answer.code, Some(0), "{answer:?}");
    }
    let elsewhere = Home { port: free_port(), ..home };
    let Some(program) = python_gateway(elsewhere.port, r#"{"stateDir":"/"}"#) else { return };
    let program: Vec<_> = ["--"].into_iter().chain(program.iter().map(String::as_str)).collect();
    let _running = ready(elsewhere.run(&program));
    until("it answers", || elsewhere.ask("status", &["--require-healthy"]).code == Some(0));
    refuses(elsewhere.run(&[]), "it says that it serves another state directory");
}
