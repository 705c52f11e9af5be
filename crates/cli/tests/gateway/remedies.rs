//! Every message of the gateway that tells what to do is followed. The advice of a refused start is
//! followed in `stop`.

use std::fs;
use std::process::Command;

use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::{am_root, is_installed, through};
use turnlock_testing::{
    Doomed, Ended, NOBODY, Sleeper, ended, foreign_record, start_time_of, until,
};

use crate::rig::*;

/// A program of somebody else's on this home's port.
fn stranger(home: &Home) -> Option<Doomed> {
    let words = python_gateway(home.port, "{}")?;
    let program = Doomed(Command::new(&words[0]).args(&words[1..]).spawn().unwrap());
    until("it listens", || std::net::TcpStream::connect(home.address()).is_ok());
    Some(program)
}

fn advice(told: &str, with: &str) -> String {
    let found = advised(told).into_iter().find(|command| command.contains(with));
    found.unwrap_or_else(|| panic!("no {with} in {told}"))
}

#[test]
fn a_stranger_on_the_port_is_ended_as_advised() {
    for with_doctor in [false, true] {
        let home = home();
        let Some(stranger) = stranger(&home) else { return };
        let told = match with_doctor {
            false => ended(home.run_within("0s")).err,
            true => home.ask("doctor", &["--port", &home.port.to_string()]).out,
        };
        assert_eq!(advice(&told, "kill"), format!("kill {}", stranger.pid()));
        assert_eq!(follow(&advice(&told, "kill")).code, Some(0));
        let _running = ready(home.run(&[]));
    }
}

#[test]
fn an_owner_that_does_not_listen_is_ended_as_advised() {
    let home = home();
    let mut running = ready(home.run(&["--", "sleep", "1000"]));
    until("the port is free", || std::net::TcpListener::bind(home.address()).is_ok());
    let found = home.ask("doctor", &[]);
    assert_eq!(found.code, Some(1), "{found:?}");
    let stopped = follow(&advice(&found.out, "stop"));
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    running.wait();
    assert_eq!(home.ask("doctor", &["--port", &home.port.to_string()]).code, Some(0));
}

#[test]
fn the_doctor_tells_that_it_can_fix_and_why_it_has_not() {
    let home = home();
    let port = home.port.to_string();
    fs::write(home.state_lock(), foreign_record(NOBODY, Some(1))).unwrap();
    let found = home.ask("doctor", &["--port", &port]);
    assert!(found.code == Some(1) && found.out.contains("again with --fix"), "{found:?}");
    let file = fs::File::open(home.state_lock()).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let kept = home.ask("doctor", &["--port", &port, "--fix"]);
    assert_eq!(kept.code, Some(1), "{kept:?}");
    assert!(kept.out.contains("has the file locked at the moment"), "{kept:?}");
    drop(file);
    assert_eq!(home.ask("doctor", &["--port", &port, "--fix"]).code, Some(0));
    assert!(!home.state_lock().exists());
}

/// A lock of a gateway, or of a session, whose owner is in another container, as far as is known.
#[test]
fn locks_of_other_containers_go_with_assume_local_as_advised() {
    let Some(container) = pid_namespace() else { return };
    let home = home();
    let sessions = home.state.join("agents/main/sessions");
    fs::create_dir_all(&sessions).unwrap();
    let agent = Sleeper::new("openclaw-gateway");
    let record = foreign_record(agent.pid(), Some(start_time_of(agent.pid())));
    let port = home.port.to_string();
    let doctor = |more: &[&str]| -> Ended {
        let mut command = gateway(&["doctor", "--port", &port, "--state-dir"]);
        command.arg(&home.state).args(more);
        ended(through(&container, &command))
    };
    fs::write(home.state_lock(), &record).unwrap();
    let found = doctor(&["--fix"]);
    assert!(found.code == Some(1) && found.out.contains("add --assume-local"), "{found:?}");
    let fixed = doctor(&["--fix", "--assume-local"]);
    assert!(fixed.code == Some(0) && !home.state_lock().exists(), "{fixed:?}");
    let lock = sessions.join("s.jsonl.lock");
    fs::write(&lock, &record).unwrap();
    let mut running = ready(through(&container, &home.run(&[])));
    let line = running.until_it_says("left a session lock");
    assert!(line.contains("add --assume-local"), "{line}");
    running.kill();
    running.wait();
    let mut running = ready(through(&container, &home.run(&["--assume-local"])));
    running.until_it_says("removed a stale session lock");
    assert!(!lock.exists());
    running.kill();
}

#[test]
fn another_user_is_told_to_be_the_owner() {
    if !am_root("to be another user") || !is_installed("setpriv") {
        return;
    }
    let home = home();
    let _running = ready(home.run(&[]));
    let mode = |mode| <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
    fs::set_permissions(home.dir.path(), mode(0o755)).unwrap();
    fs::set_permissions(&home.state, mode(0o700)).unwrap();
    let program = home.dir.path().join("turnlock");
    // Not by this process: a child of another test could have it open for writing.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_turnlock")).arg(&program).status();
    assert!(copied.unwrap().success());
    for verb in ["run", "status", "stop", "doctor"] {
        let mut stranger = Command::new("setpriv");
        stranger.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
        stranger.args(["gateway", verb, "--state-dir"]).arg(&home.state);
        let refused = ended(stranger);
        assert_eq!(refused.code, Some(1), "{verb}: {refused:?}");
        assert!(refused.err.contains("run as the user that owns it"), "{verb}: {refused:?}");
        assert!(!refused.err.contains("session"), "{verb}: {refused:?}");
    }
    // As that user it works.
    assert_eq!(home.ask("status", &[]).code, Some(0));
}

#[test]
fn a_port_or_an_address_is_chosen_as_advised() {
    let home = home();
    let refused = ended(home.run(&["--host", "192.0.2.1"]));
    let shown = follow(&advice(&refused.err, "ip address"));
    assert!(shown.code == Some(0) || !is_installed("ip"), "{shown:?}");
    let _running = ready(home.run(&["--host", "127.0.0.1"]));
}
