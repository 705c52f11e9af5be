//! Locks of the killed: theirs reclaimed by us, ours by them.

use std::time::{Duration, Instant};

use serde_json::json;
use turnlock_testing::{threads_named, until};

use crate::node::{Kind, all};
use crate::ours::{Answer, holding};
use crate::program::run;
use crate::room::{buffered, room};

#[test]
fn the_lock_of_a_killed_peer_is_ours_at_once() {
    for peer in all() {
        let room = room();
        let mut node = peer.start(&room.session);
        node.acquire();
        node.write("{\"theirs\":1}");
        assert_eq!(node.ask("append {\"theirs\":\"cut"), "appended");
        node.kill();
        assert!(room.lock.exists());
        // One try, no waiting.
        let turn = buffered().turn(&room.session).try_acquire().unwrap();
        let appended = turn.append_blocking(&json!({"ours": 2})).unwrap();
        assert!(appended.sealed, "{:?}: its torn line was closed", peer.kind);
        turn.release_blocking().unwrap();
        let text = room.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            ["{\"theirs\":1}", "{\"theirs\":\"cut", "{\"ours\":2}"],
            "{:?}",
            peer.kind
        );
    }
}

#[test]
fn a_waiter_has_the_turn_soon_after_a_peer_was_killed() {
    for peer in all() {
        let room = room();
        let mut waits = Vec::new();
        for _ in 0..5 {
            let mut node = peer.start(&room.session);
            node.acquire();
            let sessions = buffered();
            let killed = std::thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
                    let held = Instant::now();
                    turn.release_blocking().unwrap();
                    held
                });
                until("it waits", || threads_named("turnlock-wait") > 0);
                let killed = Instant::now();
                node.kill();
                waiter.join().unwrap().saturating_duration_since(killed)
            });
            waits.push(killed);
        }
        waits.sort();
        eprintln!("{:?}: from SIGKILL of the peer to our turn: {waits:?}", peer.kind);
        assert!(waits[2] < Duration::from_secs(5), "{waits:?}");
    }
}

#[test]
fn the_lock_of_our_killed_process_is_theirs() {
    for peer in all() {
        let room = room();
        let mut node = peer.start(&room.session);
        let mut ours = holding(&room, "killed");
        ours.tell(&());
        assert_eq!(ours.answer(), Answer::Appended);
        node.tell("acquire 30000");
        let killed = Instant::now();
        ours.kill();
        assert!(room.lock.exists());
        assert_eq!(node.line(), "held");
        eprintln!(
            "{:?}: from SIGKILL of our process to its turn: {:?}",
            peer.kind,
            killed.elapsed()
        );
        assert_eq!(room.record()["pid"], node.pid(), "{:?}", peer.kind);
        node.write("{\"theirs\":1}");
        node.release();
        assert_eq!(room.lines(), [json!({"ours": "killed"}), json!({"theirs": 1})]);
    }
}

/// `turnlock run` is killed while the program inside lives on, and keeps the kernel's lock. The
/// peers see a dead pid and take the lock; what the program then appends is refused.
#[test]
fn what_outlives_its_killed_turnlock_run_is_refused_once_a_peer_has_the_lock() {
    let script = "trap '' TERM; echo held; read go; \
                  echo '{\"ours\":1}' | \"$TURNLOCK\" append \"$SESSION\"; echo \"code $?\"";
    for peer in all() {
        let room = room();
        let mut node = peer.start(&room.session);
        let mut ours = run(&room, &["--beside", "openclaw"], script);
        assert_eq!(ours.line(), "held");
        ours.kill();
        // Our own kind sees that the lock is still held.
        assert!(buffered().turn(&room.session).try_acquire().is_err());
        node.acquire();
        ours.say("go\n");
        assert_eq!(ours.line(), "code 1", "{:?}", peer.kind);
        node.write("{\"theirs\":1}");
        node.release();
        assert_eq!(room.lines(), [json!({"theirs": 1})], "{:?}", peer.kind);
    }
}

/// Our lock file, left with a dead owner's record, is taken over by our kind in place, and that is
/// respected by a peer that waits.
#[test]
fn a_peer_respects_the_successor_of_our_dead() {
    for peer in all() {
        let room = room();
        let mut dead = holding(&room, "dead");
        dead.kill();
        let mut successor = holding(&room, "successor");
        let mut node = peer.start(&room.session);
        let refused = node.refused(1200);
        if peer.kind != Kind::FsSafe {
            assert!(refused.contains(&format!("pid={}", successor.pid())), "{refused}");
        }
        successor.tell(&());
        assert_eq!(successor.answer(), Answer::Appended);
    }
}

/// Where the race of each peer is: what it has judged dead it removes by its path, a moment later.
/// Whoever took it over in between loses it to the peer. Ours is refused then, and writes nothing
/// into the peer's turn.
#[test]
fn a_peer_that_removes_what_we_have_just_taken_over_is_not_interleaved_with() {
    for peer in all() {
        let room = room();
        let mut killed = peer.start(&room.session);
        killed.acquire();
        killed.kill();
        let mut node = peer.start(&room.session);
        assert_eq!(node.ask("pause"), "pausing");
        assert_eq!(node.ask("acquire 30000"), "removing", "{:?}", peer.kind);
        // It has judged, and not yet removed.
        let mut ours = holding(&room, "successor");
        ours.tell(&());
        assert_eq!(ours.answer(), Answer::Appended);
        node.tell("resume");
        assert_eq!(node.line(), "held", "{:?}: its own race", peer.kind);
        node.write("{\"theirs\":1}");
        ours.tell(&());
        let Answer::Refused(why) = ours.answer() else { panic!("it was not refused") };
        assert!(why.starts_with("lock lost: another lock file stands in its place"), "{why}");
        node.write("{\"theirs\":2}");
        assert!(ours.end().success());
        assert_eq!(room.record()["pid"], node.pid(), "{:?}: its lock was left alone", peer.kind);
        assert_eq!(
            room.lines(),
            [json!({"ours": "successor"}), json!({"theirs": 1}), json!({"theirs": 2})]
        );
    }
}
