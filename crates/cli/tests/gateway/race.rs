//! Two gateways at the same instant: exactly one wins, the other says why.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::rig::*;

/// For each of the three layers: 201 in all.
const ROUNDS: usize = 67;

/// A gateway that starts when its standard input says so, and ends when that closes.
fn at_the_line(command: &Command, log: &Path) -> Child {
    let mut waiting = Command::new("sh");
    // As soon as one of them is ready, or has failed, the log tells.
    waiting
        .args(["-c", r#"read go; exec "$0" "$@" 2>"$LOG""#])
        .arg(command.get_program())
        .args(command.get_args());
    waiting.env("LOG", log).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// Each pair, made with a second port, races; of the two logs one tells of a start, the other of
/// `refused`.
fn race(pair: impl Fn(&Room, u16) -> [Command; 2], refused: &str) {
    let room = room();
    let second = free_port();
    let logs = [room.dir.path().join("a"), room.dir.path().join("b")];
    for round in 0..ROUNDS {
        let commands = pair(&room, second);
        let mut racers: Vec<_> = commands
            .iter()
            .zip(&logs)
            .map(|(command, log)| Doomed(at_the_line(command, log)))
            .collect();
        for racer in &mut racers {
            racer.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        }
        let said = |log| std::fs::read_to_string(log).unwrap_or_default();
        let told = eventually("both have said how it went", || {
            let told = logs.each_ref().map(said);
            told.iter().all(|text| text.contains('\n')).then_some(told)
        });
        let starts = told.iter().filter(|text| text.contains("gateway on ws://")).count();
        let refusals = told.iter().filter(|text| text.contains(refused)).count();
        assert_eq!((starts, refusals), (1, 1), "round {round}: {told:?}");
        drop(racers);
        logs.iter().for_each(|log| std::fs::remove_file(log).unwrap());
    }
}

#[test]
fn on_one_state_directory() {
    race(
        |room, second| {
            let other =
                Room { dir: tempfile::tempdir().unwrap(), state: room.state.clone(), port: second };
            [room.run_within("0s"), other.run_within("0s")]
        },
        "it has the state directory",
    );
}

#[test]
fn on_one_config() {
    race(
        |room, second| {
            let shared = text(&room.state);
            let config = text(&room.state.join("shared.json"));
            let run = |name: &str, port: u16| {
                let port = port.to_string();
                let mut command =
                    gateway(&["run", "--timeout", "0s", "--port", &port, "--lock-dir", &shared]);
                command.args(["--config", &config, "--state-dir"]).arg(room.state.join(name));
                command
            };
            [run("a", room.port), run("b", second)]
        },
        "it has the config",
    );
}

#[test]
fn on_one_port() {
    race(
        |room, _| {
            let run = |name: &str| {
                let mut command = gateway(&[
                    "run",
                    "--timeout",
                    "0s",
                    "--port",
                    &room.port.to_string(),
                    "--state-dir",
                ]);
                command.arg(room.state.join(name));
                command
            };
            [run("a"), run("b")]
        },
        "another gateway instance is already listening on ws://127.0.0.1:",
    );
}
