//! Who is the owner of a gateway's locks: the processes that it started are, too.

use turnlock_testing::until;

use crate::command::json;
use crate::rig::*;

#[test]
fn a_program_under_the_locks_is_the_owner_however_deep_it_is() {
    for wrapper in [&[][..], &["sh", "-c", "\"$@\"; true", "sh"], &["setsid", "--fork", "--wait"]] {
        let home = home();
        let Some(program) = python_gateway(home.port, "{}") else { return };
        let words = ["--"].iter().chain(wrapper).copied();
        let words: Vec<_> = words.chain(program.iter().map(String::as_str)).collect();
        let _running = ready(home.run(&words));
        until("it answers", || home.ask("status", &["--require-healthy"]).code == Some(0));
        let doctor = home.ask("doctor", &[]);
        assert_eq!(doctor.code, Some(0), "{doctor:?}");
        let status = home.ask("status", &["--require-healthy"]);
        assert!(status.code == Some(0) && status.out.contains("(a process of the owner)"));
        let status = json(&home.ask("status", &["--json"]).out);
        assert_eq!(status["listenerIsOwner"], true, "{status}");
    }
}

#[test]
fn a_stranger_on_its_port_is_not() {
    let (ours, other) = (home(), home());
    let _owner = ready(ours.run(&["--", "sleep", "1000"]));
    let other = Home { port: ours.port, ..other };
    until("the port is free", || std::net::TcpListener::bind(ours.address()).is_ok());
    let _stranger = ready(other.run(&[]));
    let doctor = ours.ask("doctor", &[]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.out.contains("does not belong to the owner of the lock"), "{doctor:?}");
    assert!(ours.ask("status", &[]).out.contains("(not the owner)"));
}

#[test]
fn a_program_is_told_which_gateway_it_is() {
    let home = home();
    let note = home.dir.path().join("note");
    let script = "echo \"$OPENCLAW_STATE_DIR|$OPENCLAW_CONFIG_PATH|$OPENCLAW_GATEWAY_PORT|\
                  $TURNLOCK_GATEWAY_ADDRESS|$TURNLOCK_GATEWAY_PID|$TURNLOCK_GATEWAY_OWNER_ID\" > ";
    let script = format!("{script}{}", note.display());
    let running = ready(home.run(&["--config", "/b c.json", "--", "sh", "-c", &script]));
    let pid = running.pid();
    assert_eq!(running.end().code, Some(0));
    let told = std::fs::read_to_string(&note).unwrap();
    let told: Vec<_> = told.trim().split('|').collect();
    let (port, pid) = (home.port.to_string(), pid.to_string());
    let expected = [&text(&home.state), "/b c.json", &port, &format!("127.0.0.1:{port}"), &pid];
    assert_eq!(told[..5], expected);
    assert_eq!(told[5].len(), 36, "{told:?}");
}
