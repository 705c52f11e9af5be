//! Mutual exclusion, both ways.

use std::fs;
use std::time::Duration;

use serde_json::json;
use turnlock::{Error, LostCause};
use turnlock_testing::{DEADLINE, fed};

use crate::node::{Kind, all};
use crate::ours::{Answer, holding};
use crate::program::{held, run, turnlock};
use crate::room::{buffered, room};

const BESIDE: [&str; 2] = ["--beside", "openclaw"];

#[test]
fn while_a_peer_holds_we_wait_and_name_it() {
    for peer in all() {
        let room = room();
        let mut node = peer.start(&room.session);
        node.acquire();
        let record = fs::read(&room.lock).unwrap();

        let sessions = buffered();
        let waiting = sessions.turn(&room.session).timeout(Duration::from_millis(300));
        let error = waiting.acquire_blocking().unwrap_err().to_string();
        let begins =
            format!("session file locked (timeout 300ms): pid={} alive=true ageMs=", node.pid());
        assert!(error.starts_with(&begins), "{:?}: {error}", peer.kind);
        for how in ["append", "post"] {
            let mut command = turnlock([how, "--timeout", "100ms"]);
            let refused = fed(command.arg(&room.session), "{\"ours\":0}\n");
            assert_eq!(refused.code, Some(75), "{:?}: {how}: {refused:?}", peer.kind);
            assert!(
                refused.err.contains(&format!("pid={} alive=true", node.pid())),
                "{:?}: {how}: {refused:?}",
                peer.kind
            );
        }
        node.write("{\"theirs\":1}");
        assert_eq!(fs::read(&room.lock).unwrap(), record, "{:?}: it was not touched", peer.kind);

        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
                turn.append_blocking(&json!({"ours": 3})).unwrap();
                turn.release_blocking().unwrap();
            });
            node.write("{\"theirs\":2}");
            node.release();
            waiter.join().unwrap();
        });
        let expected = [json!({"theirs": 1}), json!({"theirs": 2}), json!({"ours": 3})];
        assert_eq!(room.lines(), expected, "{:?}", peer.kind);
    }
}

#[test]
fn while_we_hold_a_peer_waits_and_names_us() {
    for peer in all() {
        let room = room();
        let mut node = peer.start(&room.session);
        let ours = held(&room, &BESIDE);
        let record = fs::read(&room.lock).unwrap();
        let refused = node.refused(1500);
        let expected = match peer.kind {
            Kind::FsSafe => "file lock timeout".to_owned(),
            _ => format!("session file locked (timeout 1500ms): pid={}", ours.pid()),
        };
        assert!(refused.starts_with(&expected), "{:?}: {refused}", peer.kind);
        assert_eq!(fs::read(&room.lock).unwrap(), record, "{:?}: it was not touched", peer.kind);

        node.tell("acquire 30000");
        assert_eq!(ours.end().code, Some(0));
        assert_eq!(node.line(), "held", "{:?}", peer.kind);
        node.release();
    }
}

/// A program that links the library lives by OpenClaw's convention with an argument of its own.
#[test]
fn a_program_with_the_word_among_its_arguments_is_respected_too() {
    for peer in all() {
        let room = room();
        let mut node = peer.start(&room.session);
        let mut ours = holding(&room, "linked");
        node.refused(1200);
        ours.tell(&());
        assert_eq!(ours.answer(), Answer::Appended, "{:?}", peer.kind);
        assert!(ours.end().success());
        node.acquire();
    }
}

/// The rule of 2026.5.12 and later: a lock whose owner does not look like OpenClaw is removed. Then
/// the fence refuses.
#[test]
fn without_the_word_the_last_openclaw_takes_the_lock_and_our_fence_refuses() {
    let Some(peer) = Kind::July.installed() else { return };
    let room = room();
    let mut node = peer.start(&room.session);
    let sessions = buffered();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"ours": 1})).unwrap();
    node.acquire();
    assert_eq!(room.record()["pid"], node.pid());
    node.write("{\"theirs\":2}");
    let refused = turn.append_blocking(&json!({"ours": 3}));
    assert!(
        matches!(refused, Err(Error::LockLost { cause: LostCause::Replaced, .. })),
        "{refused:?}"
    );
    node.write("{\"theirs\":4}");
    let released = turn.release_blocking();
    assert!(matches!(released, Err(Error::LockLost { .. })), "{released:?}");
    assert_eq!(room.record()["pid"], node.pid(), "its lock was left alone");
    node.release();
    // It may acquire again.
    sessions
        .turn(&room.session)
        .timeout(DEADLINE)
        .acquire_blocking()
        .unwrap()
        .release_blocking()
        .unwrap();
    assert_eq!(room.lines(), [json!({"ours": 1}), json!({"theirs": 2}), json!({"theirs": 4})]);
}

#[test]
fn without_the_word_a_command_inside_the_turn_is_refused_as_well() {
    let script = "echo held; read go; \
                  echo '{\"ours\":1}' | \"$TURNLOCK\" append \"$SESSION\"; echo \"code $?\"";
    for peer in all() {
        let room = room();
        let mut node = peer.start(&room.session);
        let mut ours = run(&room, &[], script);
        assert_eq!(ours.line(), "held");
        if peer.kind == Kind::July {
            node.acquire();
            ours.say("go\n");
            assert_eq!(ours.line(), "code 1");
            node.write("{\"theirs\":1}");
            assert_eq!(room.lines(), [json!({"theirs": 1})]);
        } else {
            // Only that version has the rule.
            node.refused(1200);
            ours.say("go\n");
            assert_eq!(ours.line(), "code 0", "{:?}", peer.kind);
            assert_eq!(room.lines(), [json!({"ours": 1})]);
        }
    }
}
