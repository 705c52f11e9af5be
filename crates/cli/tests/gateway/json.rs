//! Answers in JSON are what their schemas say.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use turnlock_testing::ended;

use crate::rig::{gateway, home, ready};
use crate::schema::document;

#[test]
fn a_gateway_that_runs_and_one_that_is_gone_are_told_as_documents() {
    let home = home();
    let port = home.port.to_string();
    let told = |code: i32| {
        let status = home.ask("status", &["--json", "--port", &port]);
        document(&status.out, "turnlock.gateway.status/1");
        let found = home.ask("doctor", &["--json", "--port", &port]);
        document(&found.out, "turnlock.gateway.doctor/1");
        assert_eq!(found.code, Some(code), "{found:?}");
        let watched = ended(gateway(&["monitor", "--once", "--json"]).arg(&home.state));
        document(&watched.out, "turnlock.gateway.monitor/1");
    };
    told(0);
    let mut running = ready(home.run(&[]));
    told(0);
    let refused = home.ask("status", &["--json", "--require-healthy", "--nonsense"]);
    document(&refused.out, "turnlock.error/1");
    running.kill();
    turnlock_testing::until("its end", || !crate::rig::lives(running.pid()));
    std::fs::create_dir_all(home.state.join("agents/main/sessions")).unwrap();
    let guard = OsStr::from_bytes(b"\xff.jsonl.lock.reclaim");
    let guard = home.state.join("agents/main/sessions").join(guard);
    std::fs::create_dir(&guard).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(&guard).unwrap().set_modified(long_ago).unwrap();
    told(1);
    let found = home.ask("doctor", &["--json", "--port", &port]);
    let found = document(&found.out, "turnlock.gateway.doctor/1");
    let facts = &found["findings"][0]["facts"];
    assert!(facts["pathBase64"].is_string(), "{found}");
}

#[test]
fn conflicts_and_failures_are_told_as_documents() {
    let home = home();
    let (a, b) = (home.state.join("a"), home.state.join("b"));
    for (dir, port) in [(&a, 20000), (&b, 20001)] {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("openclaw.json"), format!("{{gateway:{{port:{port}}}}}")).unwrap();
    }
    for both in [[&a, &b], [&a, &a]] {
        let told = ended(gateway(&["check-isolation", "--json"]).args(both));
        let told = document(&told.out, "turnlock.gateway.isolation/1");
        assert_ne!(told["conflicts"].as_array().unwrap().len(), 0);
    }
    let missing = home.state.join("missing");
    let told = ended(gateway(&["status", "--json", "--state-dir"]).arg(&missing));
    let error = document(&told.out, "turnlock.error/1");
    assert_eq!(error["code"], "io");
    let told = ended(gateway(&["monitor", "--once", "--json"]).arg(&missing));
    document(&told.out, "turnlock.gateway.monitor/1");
}
