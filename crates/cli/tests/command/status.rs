//! `turnlock status`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use turnlock_testing::{Ended, ended, room, start_time_of, until};

use crate::program::{held, turnlock};

/// The state of the lock on a session as `status --json` tells it; `Null` if there is none.
pub fn status(session: &Path) -> Value {
    let answer = ended(turnlock(["status", "--json"]).arg(session));
    assert_eq!(answer.code, Some(0), "{answer:?}");
    serde_json::from_str::<Value>(&answer.out).unwrap()["locks"][0].clone()
}

fn status_of(arguments: &[&str]) -> Ended {
    let mut command = turnlock(["status"]);
    command.args(arguments);
    ended(command)
}

#[test]
fn a_held_lock_in_a_pipe_and_in_json() {
    let room = room();
    let holder = held(&room, &[]);
    let record = room.record();
    let (dir, session, lock) =
        (room.dir.to_str().unwrap(), room.session.to_str().unwrap(), room.lock.to_str().unwrap());
    let line = format!(
        "{session}\theld\t{}\t{}\tthe holder\t{}\n",
        holder.pid(),
        record["host"].as_str().unwrap(),
        record["createdAt"].as_str().unwrap()
    );
    for path in [dir, session, lock] {
        let answer = status_of(&[path]);
        assert_eq!((answer.code, &answer.out, answer.err.as_str()), (Some(0), &line, ""));
    }
    let told: Value = serde_json::from_str(&status_of(&["--json", dir]).out).unwrap();
    assert_eq!(told["locks"].as_array().unwrap().len(), 1);
    let told = &told["locks"][0];
    assert_eq!((&told["session"], &told["state"]), (&json!(session), &json!("held")));
    for (ours, theirs) in [
        ("pid", "pid"),
        ("host", "host"),
        ("owner", "owner"),
        ("label", "label"),
        ("since", "createdAt"),
    ] {
        assert_eq!(told["holder"][ours], record[theirs], "{ours}");
    }
    assert_eq!(told["holder"]["alive"], true);
}

#[test]
fn no_locks_is_no_failure_and_no_directory_is_one() {
    let room = room();
    let dir = room.dir.to_str().unwrap();
    fs::write(&room.session, "").unwrap();
    let answer = status_of(&[dir, room.session.to_str().unwrap()]);
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (Some(0), "", ""));
    let told: Value = serde_json::from_str(&status_of(&["--json", dir]).out).unwrap();
    assert_eq!((&told["locks"], &told["errors"]), (&json!([]), &json!([])));
    let mut here = turnlock(["status", "."]);
    here.current_dir(&room.dir);
    assert_eq!(ended(here).code, Some(0));
    let holder = held(&room, &[]);
    let answer = status_of(&["/no/such/one.jsonl", dir, "/no/such/two.jsonl"]);
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.out.lines().count(), 1, "one bad path never hides the rest");
    assert!(answer.err.contains("/no/such") && answer.err.lines().count() == 2, "{answer:?}");
    drop(holder);
}

#[test]
fn a_pattern_follows_no_links_that_lead_in_circles() {
    let room = room();
    let dir = &room.dir;
    let deep = dir.join("a/[b]/sessions");
    fs::create_dir_all(&deep).unwrap();
    for link in ["x", "y"] {
        std::os::unix::fs::symlink(".", dir.join(link)).unwrap();
        std::os::unix::fs::symlink("..", deep.join(link)).unwrap();
    }
    for lock in [dir.join("top.jsonl.lock"), deep.join("deep.jsonl.lock")] {
        fs::write(lock, "").unwrap();
    }
    let shown = |pattern: &str| {
        let mut command = turnlock(["status", pattern]);
        command.current_dir(dir);
        let answer = ended(command);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        answer
            .out
            .lines()
            .map(|line| line.split('\t').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let ends = |found: Vec<String>, ends: &[&str]| {
        assert_eq!(found.len(), ends.len(), "{found:?}");
        assert!(found.iter().zip(ends).all(|(found, end)| found.ends_with(end)), "{found:?}");
    };
    ends(shown("**"), &["a/[b]/sessions/deep.jsonl"]);
    ends(shown("**/*.lock"), &["a/[b]/sessions/deep.jsonl", "top.jsonl"]);
    ends(shown("**/sessions/**/*.lock"), &["deep.jsonl"]);
    ends(shown("a*/**/d*.lock"), &["deep.jsonl"]);
    ends(shown(&format!("{}/**/sessions", dir.display())), &["deep.jsonl"]);
}

#[test]
fn every_state_has_its_word() {
    let room = room();
    let path = |name: &str| room.dir.join(format!("{name}.jsonl.lock"));
    let mut holder = held(&room, &[]);
    holder.kill();
    until("the command's end", || status(&room.session)["state"] == "stale");
    let pid = std::process::id();
    let foreign = json!({
        "pid": pid, "createdAt": "2020-01-01T00:00:00.000Z", "starttime": start_time_of(pid),
    });
    fs::write(path("foreign"), foreign.to_string()).unwrap();
    fs::write(
        path("dead"),
        json!({"pid": 1 << 30, "createdAt": "2026-01-01T00:00:00.000Z"}).to_string(),
    )
    .unwrap();
    fs::write(path("fresh"), "").unwrap();
    fs::create_dir(path("unreadable")).unwrap();
    let before = room.names();
    let answer = status_of(&[room.dir.to_str().unwrap()]);
    let states: Vec<_> = answer.out.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(
        states[..4],
        [
            "stale (dead-pid, too-old)",
            "foreign (too-old)",
            "fresh",
            "waiting to be taken over (dead-owner)"
        ]
    );
    assert!(states[4].starts_with("unreadable (not a lock file"), "{states:?}");
    assert_eq!((answer.code, room.names()), (Some(1), before), "it only reads");
}

#[test]
fn a_terminal_is_never_sent_control_characters() {
    let room = room();
    let name = "a\u{1b}[31m\u{9b}\n\tb.jsonl";
    fs::write(
        room.dir.join(format!("{name}.lock")),
        json!({"pid": 1, "host": "\u{1b}]0;x\u{7}", "label": "\u{9b}"}).to_string(),
    )
    .unwrap();
    let dir = room.dir.to_str().unwrap();
    let answer = status_of(&[dir]);
    assert_eq!(answer.out.split('\t').count(), 6, "{answer:?}");
    assert!(answer.out.contains("a\\u{1b}[31m\\u{9b}\\u{a}\\u{9}b.jsonl"), "{answer:?}");
    let controls =
        |text: &str| text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\t')).count();
    assert_eq!((controls(&answer.out), answer.out.lines().count()), (0, 1));
    let answer = status_of(&["--json", dir]);
    assert_eq!((controls(&answer.out), answer.out.lines().count()), (0, 1));
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert!(told["locks"][0]["session"].as_str().unwrap().ends_with(name), "exact for machines");
    let answer = status_of(&[&format!("{dir}/\u{1b}[31m/x.jsonl")]);
    assert_eq!((answer.code, controls(&answer.err)), (Some(1), 0), "{answer:?}");
}
