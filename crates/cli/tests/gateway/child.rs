//! A program under the locks: it has the port, it gets the signals, and it never outlives the
//! gateway.

use rustix::process::Signal;
use rustix_libc_wrappers::process::SignalExt;
use turnlock_testing::process::{signal, through};
use turnlock_testing::signals::FORWARDED;
use turnlock_testing::{Doomed, ended, eventually, until};

use crate::rig::*;

#[test]
fn its_exit_code_is_the_commands_and_nothing_is_left() {
    let home = home();
    let answer = ended(home.run(&["--", "sh", "-c", "exit 7"]));
    assert_eq!(answer.code, Some(7), "{answer:?}");
    let answer = ended(home.run(&["--", "sh", "-c", "kill -TERM $$"]));
    assert_eq!(answer.code, Some(128 + 15), "{answer:?}");
    let answer = ended(home.run(&["--", "/no/such/program"]));
    assert!(
        answer.code == Some(127) && answer.err.contains("cannot run /no/such/program"),
        "{answer:?}"
    );
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn the_port_is_left_to_it_and_signals_reach_it() {
    let home = home();
    let note = home.dir.path().join("pid");
    let script = format!("trap 'exit 5' TERM; {}", waiting(&note));
    let running = ready(home.run(&["--", "sh", "-c", &script]));
    pid_in(&note);
    drop(std::net::TcpListener::bind(home.address()).expect("the port is free"));
    assert_eq!(ended(home.run_within("0s")).code, Some(75));
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, Some(5));
}

#[test]
fn a_program_that_is_deaf_is_stopped_with_its_gateway() {
    let home = home();
    let note = home.dir.path().join("pid");
    let script = format!("trap '' TERM INT HUP; {}", waiting(&note));
    let running = ready(home.run(&["--", "sh", "-c", &script]));
    let program = pid_in(&note);
    let pid = running.pid().to_string();
    let stopped = home.ask("stop", &["--grace", "700ms", "--pid", &pid]);
    assert!(stopped.code == Some(0) && stopped.err.contains("was killed"), "{stopped:?}");
    until("the program is gone", || !lives(program));
}

#[test]
fn it_dies_with_the_gateway_and_so_does_what_it_started() {
    let home = home();
    let (note, daemon) = (home.dir.path().join("pid"), home.dir.path().join("daemon"));
    // Deaf to all that can be ignored, and with something left behind in the background.
    let script = format!(
        "trap '' TERM INT HUP; setsid sleep 60 >/dev/null 2>&1 & echo $! > {}; {}",
        daemon.display(),
        waiting(&note)
    );
    let mut running = ready(home.run(&["--", "sh", "-c", &script]));
    let (program, daemon) = (pid_in(&note), pid_in(&daemon));
    running.kill();
    drop(ready(home.run(&[])));
    assert!(!lives(program) && !lives(daemon));
}

#[test]
fn every_signal_reaches_it() {
    let home = home();
    for (name, number) in FORWARDED {
        let which = Signal::from_raw(number).unwrap();
        let note = home.dir.path().join(name);
        let script = format!("trap 'exit 5' {name}; {}", waiting(&note));
        let running = ready(home.run(&["--", "sh", "-c", &script]));
        pid_in(&note);
        running.signal(which);
        let answer = running.end();
        assert_eq!(answer.code, Some(5), "{name}: {answer:?}");
    }
}

#[test]
fn what_is_ignored_at_the_start_stays_ignored() {
    let home = home();
    let note = home.dir.path().join("pid");
    let ignoring = ["sh", "-c", "trap '' INT QUIT HUP; exec \"$@\"", "sh"].map(String::from);
    let script = format!("trap 'exit 5' TERM; {}", waiting(&note));
    let run = home.run(&["--", "sh", "-c", &script]);
    let mut running = ready(through(&ignoring, &run));
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid_in(&note))).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 7, 7, "HUP, INT and QUIT");
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP] {
        running.signal(signal);
    }
    assert!(!running.has_ended());
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, Some(5));
}

/// What is typed reaches the whole foreground group, and what is sent to one process that one
/// alone.
#[test]
fn an_interrupt_sent_to_the_gateway_on_a_terminal_reaches_it_too() {
    let home = home();
    let note = home.dir.path().join("pid");
    let run = home.run(&[]);
    let command =
        [run.get_program()].into_iter().chain(run.get_args()).map(|word| word.to_str().unwrap());
    let line = command.collect::<Vec<_>>().join(" ");
    let line =
        format!("{line} -- sh -c \"trap 'exit 5' INT; {}\"", waiting(&note).replace('$', "\\$"));
    let mut script = std::process::Command::new("script");
    let Ok(child) =
        script.args(["-qec", &line, "/dev/null"]).stdin(std::process::Stdio::null()).spawn()
    else {
        eprintln!("skipped: there is no `script` to make a terminal");
        return;
    };
    let mut script = Doomed(child);
    pid_in(&note);
    let record = std::fs::read_to_string(home.state_lock()).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    signal(record["pid"].as_u64().unwrap() as u32, Signal::INT);
    let status = eventually("it ends", || script.try_wait().unwrap());
    assert_eq!(status.code(), Some(5));
}
