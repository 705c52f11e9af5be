//! A limit on processes, which are threads too, or on open files leads to errors.

use std::os::unix::fs::chown;

use turnlock_testing::process::{am_root, is_installed, through};
use turnlock_testing::user::as_user;
use turnlock_testing::{Ended, ended};

use crate::rig::*;

/// No other process is that user's.
fn a_user() -> u32 {
    1_000_000 + std::process::id()
}

/// Ends a command of a user who may have so many processes.
fn limited(home: &Home, processes: u32, arguments: &[&str]) -> Option<Ended> {
    if !am_root("may do what it likes and become another user") || !is_installed("prlimit") {
        return None;
    }
    let mut program = as_user(a_user(), &[])?;
    for dir in [home.dir.path(), &home.state] {
        chown(dir, Some(a_user()), Some(a_user())).unwrap();
    }
    program.extend(["prlimit".to_owned(), format!("--nproc={processes}")]);
    // One that serves is ended.
    program.extend(["timeout", "--foreground", "2"].map(String::from));
    let mut command = gateway(&arguments[..1]);
    command.args(["--state-dir", &text(&home.state)]).args(&arguments[1..]);
    Some(ended(through(&program, &command)))
}

#[test]
fn too_few_threads_are_an_error_and_no_panic() {
    let home = home();
    let port = home.port.to_string();
    for processes in 1..=8 {
        let mut commands = vec![
            vec!["run", "--timeout", "0s", "--port", &port, "--", "true"],
            vec!["run", "--supervised", "--timeout", "0s", "--port", &port, "--", "true"],
            vec!["status", "--port", &port],
            vec!["doctor", "--port", &port],
        ];
        if [3, 4].contains(&processes) {
            commands.push(vec!["run", "--timeout", "0s", "--port", &port]);
        }
        for arguments in commands {
            let Some(answer) = limited(&home, processes, &arguments) else { return };
            // `timeout` makes one of them, or says that it cannot.
            let is_expected = answer.code.is_some_and(|code| [0, 1, 75, 124, 125].contains(&code));
            assert!(
                is_expected && !answer.err.contains("panicked"),
                "{processes} {arguments:?}: {answer:?}"
            );
        }
    }
}

#[test]
fn a_monitor_without_threads_says_so() {
    let home = home();
    for processes in 1..=6 {
        let mut program = match as_user(a_user(), &[]) {
            Some(program) if is_installed("prlimit") => program,
            _ => return,
        };
        program.extend(["prlimit".to_owned(), format!("--nproc={processes}")]);
        let answer = ended(through(
            &program,
            gateway(&["monitor", "--once"]).arg(home.address().to_string()),
        ));
        assert!(
            answer.code == Some(1) && !answer.err.contains("panicked"),
            "{processes}: {answer:?}"
        );
        assert!(
            answer.out.contains("is gone") || answer.err.contains("cannot "),
            "{processes}: {answer:?}"
        );
    }
}

#[test]
fn too_few_files_are_an_error_and_no_panic() {
    if !is_installed("prlimit") {
        return;
    }
    let home = home();
    let (port, state, address) =
        (home.port.to_string(), text(&home.state), home.address().to_string());
    for files in 3..=20 {
        for arguments in [
            vec!["run", "--state-dir", &state, "--timeout", "0s", "--port", &port, "--", "true"],
            vec!["status", "--state-dir", &state, "--port", &port],
            vec!["doctor", "--state-dir", &state, "--port", &port],
            vec!["monitor", "--once", &address],
        ] {
            let program = ["prlimit".to_owned(), format!("--nofile={files}")];
            let answer = ended(through(&program, &gateway(&arguments)));
            // The loader fails with 127.
            let is_expected = answer.code.is_some_and(|code| [0, 1, 75, 127].contains(&code));
            assert!(
                is_expected && !answer.err.contains("panicked"),
                "{files} {arguments:?}: {answer:?}"
            );
        }
    }
}
