//! What the library counts.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;

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
