//! Our lock files as the peers' own doctors read them.

use serde_json::Value;

use crate::node::{Kind, Node};
use crate::ours::{Answer, holding};
use crate::program::held;
use crate::room::room;

/// What `cleanStaleLockFiles` tells of the one lock.
fn lock(node: &mut Node, fix: &str) -> Value {
    let locks: Value = serde_json::from_str(&node.ask(&format!("locks {fix}"))).unwrap();
    assert_eq!(locks.as_array().map(Vec::len), Some(1), "{locks}");
    locks[0].clone()
}

/// What `openclaw doctor` says of session locks, without the frame around it.
fn doctor(node: &mut Node, fix: &str) -> String {
    node.tell(&format!("doctor {fix}"));
    let text = node.until("diagnosed").join(" ");
    let words: String = text.chars().map(|c| if c.is_ascii() { c } else { ' ' }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn their_cleaning_keeps_our_live_locks_and_removes_our_dead() {
    for peer in [Kind::April, Kind::July].into_iter().filter_map(Kind::installed) {
        let room = room();
        let mut node = peer.start(&room.session);
        let mut ours = holding(&room, "examined");
        for fix in ["look", "fix"] {
            let lock = lock(&mut node, fix);
            assert_eq!(lock["pid"], ours.pid(), "{lock}");
            assert_eq!(
                (&lock["pidAlive"], &lock["stale"], &lock["removed"]),
                (&true.into(), &false.into(), &false.into())
            );
            assert!(lock["ageMs"].as_u64().is_some_and(|age| age < 60_000), "{lock}");
        }
        ours.tell(&());
        assert_eq!(ours.answer(), Answer::Appended);
        ours.kill();
        let lock = lock(&mut node, "fix");
        assert_eq!((&lock["pidAlive"], &lock["removed"]), (&false.into(), &true.into()), "{lock}");
        assert_eq!(lock["staleReasons"], serde_json::json!(["dead-pid"]));
        assert!(!room.lock.exists());
    }
}

#[test]
fn the_last_openclaws_doctor_speaks_of_our_locks_in_its_own_words() {
    let Some(peer) = Kind::July.installed() else { return };
    let room = room();
    let mut node = peer.start(&room.session);
    let mut ours = held(&room, &["--beside", "openclaw"]);
    let told = doctor(&mut node, "fix");
    assert!(told.contains("Found 1 session lock file."), "{told}");
    assert!(told.contains(&format!("pid={} (alive) age=", ours.pid())), "{told}");
    assert!(told.contains("stale=no"), "{told}");
    ours.kill();
    // Its command may need a moment to be gone; its record is a dead one's already.
    let told = doctor(&mut node, "look");
    assert!(told.contains("(dead)") && told.contains("stale=yes (dead-pid)"), "{told}");
    let told = doctor(&mut node, "fix");
    assert!(told.contains("[removed]"), "{told}");
    assert!(!room.lock.exists());
}

#[test]
fn without_the_word_that_doctor_calls_our_owner_none_of_its_own() {
    let Some(peer) = Kind::July.installed() else { return };
    let room = room();
    let mut node = peer.start(&room.session);
    let _ours = held(&room, &[]);
    let told = doctor(&mut node, "look");
    assert!(told.contains("(alive)") && told.contains("stale=yes (non-openclaw-owner)"), "{told}");
    assert!(room.lock.exists());
}
