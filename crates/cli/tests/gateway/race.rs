//! Two gateways at the same instant: exactly one wins, the other says why.

use std::path::Path;
use std::process::Command;

use turnlock_testing::port::free_port;
use turnlock_testing::process::through;
use turnlock_testing::{Running, eventually};

use crate::rig::*;

/// For each of the three layers: 201 in all.
const ROUNDS: usize = 67;

/// A gateway that starts when its standard input says so.
fn at_the_line(command: &Command, log: &Path) -> Running {
    // As soon as one of them is ready, or has failed, the log tells.
    let script = r#"read go; exec "$0" "$@" 2>"$LOG""#;
    let mut waiting = through(&["sh", "-c", script].map(String::from), command);
    Running::start(waiting.env("LOG", log))
}

/// Each pair, made with a second port, races; of the two logs one tells of a start, the other of
/// `refused`.
fn race(pair: impl Fn(&Home, u16) -> [Command; 2], refused: &str) {
    let home = home();
    let second = free_port();
    let logs = [home.dir.path().join("a"), home.dir.path().join("b")];
    let mut decided = 0;
    for round in 0..ROUNDS {
        let commands = pair(&home, second);
        let mut racers: Vec<_> =
            commands.iter().zip(&logs).map(|(command, log)| at_the_line(command, log)).collect();
        for racer in &mut racers {
            racer.say("go\n");
        }
        let said = |log| std::fs::read_to_string(log).unwrap_or_default();
        let told = eventually("both have said how it went", || {
            let told = logs.each_ref().map(said);
            told.iter().all(|text| text.contains('\n')).then_some(told)
        });
        let starts = told.iter().filter(|text| text.contains("gateway on ws://")).count();
        let refusals = told.iter().filter(|text| text.contains(refused)).count();
        // Whoever may not wait gives up soon where the machine is so busy that the disk seems dead.
        let silent = told.iter().filter(|text| text.contains("no answer from the disk")).count();
        assert!(starts <= 1 && starts + refusals + silent == 2, "round {round}: {told:?}");
        decided += usize::from((starts, refusals) == (1, 1));
        drop(racers);
        logs.iter().for_each(|log| std::fs::remove_file(log).unwrap());
    }
    assert!(decided > ROUNDS / 2, "{decided} rounds were decided");
}

#[test]
fn on_one_state_directory() {
    race(
        |home, second| {
            let other =
                Home { dir: tempfile::tempdir().unwrap(), state: home.state.clone(), port: second };
            [home.run_within("0s"), other.run_within("0s")]
        },
        "it has the state directory",
    );
}

#[test]
fn on_one_config() {
    race(
        |home, second| {
            let shared = text(&home.state);
            let config = text(&home.state.join("shared.json"));
            let run = |name: &str, port: u16| {
                let port = port.to_string();
                let mut command =
                    gateway(&["run", "--timeout", "0s", "--port", &port, "--lock-dir", &shared]);
                command.args(["--config", &config, "--state-dir"]).arg(home.state.join(name));
                command
            };
            [run("a", home.port), run("b", second)]
        },
        "it has the config",
    );
}

#[test]
fn on_one_port() {
    race(
        |home, _| {
            let run = |name: &str| {
                let mut command = gateway(&[
                    "run",
                    "--timeout",
                    "0s",
                    "--port",
                    &home.port.to_string(),
                    "--state-dir",
                ]);
                command.arg(home.state.join(name));
                command
            };
            [run("a"), run("b")]
        },
        "another gateway instance is already listening on ws://127.0.0.1:",
    );
}
