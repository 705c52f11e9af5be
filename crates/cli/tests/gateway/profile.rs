//! Profiles: a name for a state directory, its config and its service.

use std::process::Command;

use turnlock_testing::port::free_port;
use turnlock_testing::{Ended, ended};

use crate::rig::*;

fn ask(home: &Home, args: &[&str]) -> Ended {
    ended(gateway(args).env("HOME", home.dir.path()))
}

fn run(home: &Home, profile: &str, port: u16, more: &[&str]) -> Command {
    let mut command = gateway(&["run", "--port", &port.to_string(), "--profile", profile]);
    command.args(more).env("HOME", home.dir.path());
    command
}

#[test]
fn profiles_are_gateways_side_by_side() {
    let home = home();
    let (note, first) = (home.dir.path().join("note"), free_port());
    let script =
        format!("echo $OPENCLAW_PROFILE $OPENCLAW_STATE_DIR > {}; sleep 1000", note.display());
    let _first = ready(run(&home, "work", first, &["--", "sh", "-c", &script]));
    let _second = ready(run(&home, "play", free_port(), &[]));
    let state = home.dir.path().canonicalize().unwrap().join(".openclaw-work");
    let told = turnlock_testing::eventually("the program has started", || {
        std::fs::read_to_string(&note).ok().filter(|told| told.ends_with('\n'))
    });
    assert_eq!(told, format!("work {}\n", state.display()));
    let status = ask(&home, &["status", "--profile", "work"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    for words in [&*state.to_string_lossy(), "openclaw-gateway-work.service"] {
        assert!(status.out.contains(words), "{status:?}");
    }
    assert_eq!(ask(&home, &["stop", "--profile", "work"]).code, Some(0));
    assert_eq!(ask(&home, &["status", "--profile", "work"]).code, Some(1));
    assert_eq!(ask(&home, &["status", "--profile", "play"]).code, Some(0));
}

#[test]
fn a_state_directory_that_is_named_goes_before_the_profile() {
    let home = home();
    let status = home.ask("status", &["--profile", "work"]);
    assert!(status.out.contains(&text(&home.state)), "{status:?}");
    let mut of_environment = gateway(&["status", "--profile", "work"]);
    let status = ended(of_environment.env("OPENCLAW_STATE_DIR", &home.state));
    assert!(status.out.contains(&text(&home.state)), "{status:?}");
}

#[test]
fn the_profile_default_has_no_name_and_dev_a_port_of_its_own() {
    let home = home();
    for dir in [".openclaw", ".openclaw-dev"] {
        std::fs::create_dir(home.dir.path().join(dir)).unwrap();
    }
    let status = ask(&home, &["status", "--profile", "default"]);
    assert!(status.out.contains("/.openclaw\n"), "{status:?}");
    assert!(status.out.contains(" openclaw-gateway.service"), "{status:?}");
    let status = ask(&home, &["status", "--profile", "dev"]);
    assert!(status.out.contains(":19001"), "{status:?}");
    for bad in ["", "a/b", "..", "-x", "a b"] {
        let mut command = gateway(&["status"]);
        command.arg(format!("--profile={bad}")).env("HOME", home.dir.path());
        let refused = ended(command);
        assert_eq!(refused.code, Some(2), "{bad}: {refused:?}");
    }
}
