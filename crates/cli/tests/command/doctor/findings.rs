//! One finding after the other: what is said of it, what is done about it, and the exit code.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use turnlock::doctor::{Problem, Treatment};
use turnlock::{LockState, Sessions};
use turnlock_testing::{Running, ended, names, room, start_time_of, until};

use super::made::{doctor, found};
use crate::program::{TURNLOCK, held, turnlock};

const HEADER: &str =
    r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00Z","cwd":"/"}"#;

/// The only finding there is.
fn only(arguments: &[&str], path: &Path) -> (Value, Option<i32>) {
    let (answer, ended) = found(arguments, path);
    let findings = answer["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    (findings[0].clone(), ended.code)
}

/// Everything there is to know about the files of a directory.
fn snapshot(dir: &Path) -> Vec<(String, u64, u64, i64, i64, u32)> {
    let facts = |name: String| {
        let facts = fs::symlink_metadata(dir.join(&name)).unwrap();
        (name, facts.ino(), facts.len(), facts.mtime_nsec(), facts.ctime_nsec(), facts.mode())
    };
    names(dir).into_iter().chain([".".to_owned()]).map(facts).collect()
}

/// A living process of another kind, and the record that it would write.
fn agent(created: &str) -> (Running, String) {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; read go"]);
    let mut running = Running::start(command);
    assert_eq!(running.line(), "ready");
    let pid = running.pid();
    let record = json!({"pid": pid, "createdAt": created, "starttime": start_time_of(pid)});
    (running, record.to_string())
}

#[test]
fn a_look_changes_nothing_and_says_what_it_would_do() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"cut he{\"b\":2}\n").unwrap();
    fs::write(&room.lock, "{\"pid\":1073741824}").unwrap();
    let leftover = "s.jsonl.rewrite-01890000-0000-7000-8000-000000000000.tmp";
    fs::write(room.dir.join(leftover), "half").unwrap();
    let before = snapshot(&room.dir);
    let (answer, ended) = found(&[], &room.dir);
    assert_eq!(ended.code, Some(1));
    assert_eq!(snapshot(&room.dir), before);
    assert_eq!(answer["remaining"], 3);
    let actions: Vec<_> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["treatment"]["remedy"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["remove", "remove", "repair"]);

    let (answer, ended) = found(&["--fix"], &room.dir);
    assert_eq!((ended.code, &answer["fixed"]), (Some(0), &json!(3)));
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged"]);
}

#[test]
fn only_what_was_asked_for_is_looked_at() {
    let room = room();
    fs::write(&room.session, "{\"cut he{\"b\":2}\n").unwrap();
    fs::write(&room.lock, "{\"pid\":1073741824}").unwrap();
    assert_eq!(only(&["--locks-only"], &room.dir).0["problem"]["kind"], "lock");
    assert_eq!(only(&["--transcripts-only"], &room.dir).0["problem"]["kind"], "damaged-transcript");
    assert_eq!(only(&["--locks-only", "--fix"], &room.dir).1, Some(0));
    assert_eq!(room.names(), ["s.jsonl"]);
}

#[test]
fn a_living_foreign_owner_is_no_trouble_and_past_its_age_it_is_reported_and_kept() {
    let room = room();
    let (_agent, record) = agent(&format!("{:.3}", jiff::Timestamp::now()));
    fs::write(&room.lock, record).unwrap();
    let (finding, code) = only(&["--fix"], &room.dir);
    assert_eq!((&finding["problem"]["state"], code), (&json!("foreign"), Some(0)));

    let (_agent, record) = agent("2026-01-01T00:00:00.000Z");
    fs::write(&room.lock, record).unwrap();
    let (finding, code) = only(&["--fix"], &room.dir);
    assert_eq!(finding["problem"]["reasons"], json!(["too-old"]));
    assert_eq!((&finding["treatment"]["action"], code), (&json!("report"), Some(1)));
    assert!(room.lock.exists());
}

#[test]
fn a_dead_holder_of_ours_is_found_by_its_mark() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n").unwrap();
    let mut holder = held(&room, &[]);
    assert_eq!(only(&["--fix"], &room.dir).0["problem"]["state"], "held");
    holder.kill();
    // What it ran has the lock still, until it is gone too.
    until("the lock falls", || only(&[], &room.dir).0["problem"]["state"] == "stale");
    let (finding, code) = only(&["--fix"], &room.dir);
    assert_eq!((&finding["problem"]["removed"], code), (&json!(true), Some(0)));
}

#[test]
fn a_fresh_empty_lock_is_respected() {
    let room = room();
    fs::write(&room.lock, "").unwrap();
    let (finding, code) = only(&["--fix"], &room.dir);
    assert_eq!((&finding["treatment"]["action"], code), (&json!("kept"), Some(1)));
    let old = fs::File::options().write(true).open(&room.lock).unwrap();
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(40)).unwrap();
    assert_eq!(only(&["--fix"], &room.dir).1, Some(0));
    assert!(!room.lock.exists());
}

#[test]
fn the_lock_of_another_host_on_a_shared_directory_is_reported_and_kept() {
    let room = room();
    let record = json!({"pid": 7, "createdAt": "2026-01-01T00:00:00.000Z", "protocol": "turnlock/1",
        "host": "elsewhere",
        "owner": "0198c0de-0000-7000-8000-000000000000", "bootId": "another"});
    fs::write(&room.lock, record.to_string()).unwrap();
    let sessions = Sessions::builder().shared(true).build().unwrap();
    let examination = sessions.doctor().fix(true).examine([&room.dir], |_, _| {});
    let [finding] = &examination.findings[..] else { panic!("{examination:?}") };
    let Problem::Lock(lock) = &finding.problem else { panic!("{finding:?}") };
    assert_eq!(lock.state, LockState::Remote);
    assert_eq!(lock.holder.as_ref().unwrap().host.as_deref(), Some("elsewhere"));
    assert!(matches!(finding.treatment, Treatment::Report { .. }) && finding.remains());
    assert!(room.lock.exists());
    // On a disk of this machine alone the same record is from before a reboot.
    assert_eq!(only(&["--fix"], &room.dir).0["problem"]["reasons"], json!(["other-boot"]));
}

#[test]
fn headers_and_chains_are_reported_only() {
    let room = room();
    let lines = [
        HEADER,
        r#"{"type":"message","id":"a","parentId":null}"#,
        r#"{"type":"message","id":"c","parentId":"b"}"#,
        HEADER,
    ];
    fs::write(&room.session, lines.join("\n") + "\n").unwrap();
    let before = room.text();
    let (answer, ended) = found(&["--fix"], &room.dir);
    let kinds: Vec<_> =
        answer["findings"].as_array().unwrap().iter().map(|f| &f["problem"]["kind"]).collect();
    assert_eq!(
        (kinds, ended.code),
        (vec![&json!("duplicate-header"), &json!("broken-chain")], Some(1))
    );
    assert_eq!(answer["findings"][0]["problem"]["firstLine"], 4);
    assert_eq!(answer["findings"][1]["problem"]["missing"], "b");
    assert_eq!(room.text(), before);
}

#[test]
fn wrong_modes_are_set_right() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n").unwrap();
    let set = |mode| fs::set_permissions(&room.session, fs::Permissions::from_mode(mode)).unwrap();
    set(0o666);
    assert_eq!(
        only(&[], &room.dir).0["problem"],
        json!({"kind": "wrong-mode", "mode": "0666", "right": "0664"})
    );
    assert_eq!(only(&["--fix"], &room.dir).1, Some(0));
    assert_eq!(fs::metadata(&room.session).unwrap().mode() & 0o7777, 0o664);
    set(0o200);
    assert_eq!(only(&["--fix"], &room.dir).1, Some(0));
    assert_eq!(fs::metadata(&room.session).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn leftovers_of_trials_and_of_locks_are_cleared_when_nobody_has_them() {
    let room = room();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let id = "01890000-0000-7000-8000-000000000000";
    for name in [format!(".turnlock-{id}.tmp"), format!(".turnlock-probe-{id}-a")] {
        fs::File::create_new(room.dir.join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    fs::write(room.dir.join(".turnlock-notes.tmp"), "somebody's own").unwrap();
    let (answer, ended) = found(&["--fix"], &room.dir);
    assert_eq!((&answer["fixed"], ended.code), (&json!(2), Some(0)));
    assert_eq!(room.names(), [".turnlock-notes.tmp"]);
}

#[test]
fn the_leftover_of_a_rewrite_that_bears_no_sessions_name_goes_when_nobody_works_with_it() {
    let room = room();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let name = ".turnlock-rewrite-01890000-0000-7000-8000-000000000000.tmp";
    let file = fs::File::create_new(room.dir.join(name)).unwrap();
    file.set_modified(long_ago).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (finding, code) = only(&["--fix"], &room.dir);
    assert_eq!((&finding["treatment"]["action"], code), (&json!("kept"), Some(1)));
    drop(file);
    let (finding, code) = only(&["--fix"], &room.dir);
    assert_eq!((&finding["problem"]["leftover"], code), (&json!("rewrite"), Some(0)));
    assert!(room.names().is_empty());
}

#[test]
fn the_state_directory_is_examined_when_no_path_is_named() {
    let room = room();
    let sessions = room.dir.join("agents/main/sessions");
    fs::create_dir_all(&sessions).unwrap();
    fs::write(sessions.join("x.jsonl.lock"), "{\"pid\":1073741824}").unwrap();
    let mut command = turnlock(["doctor"]);
    command.env("OPENCLAW_STATE_DIR", &room.dir);
    let answer = ended(command);
    assert_eq!(answer.code, Some(1));
    let path = sessions.join("x.jsonl.lock");
    let expected =
        format!("- {} pid=1073741824 (dead) age=unknown stale=yes (dead-pid", path.display());
    assert!(answer.out.contains(&expected), "{}", answer.out);
}

#[test]
fn a_wrong_command_line_is_told_apart_from_findings() {
    let room = room();
    for arguments in [
        vec!["doctor", "--locks-only", "--transcripts-only", "."],
        vec!["doctor", "--undo", "x.jsonl", "--fix"],
    ] {
        assert_eq!(ended(turnlock(&arguments)).code, Some(2), "{arguments:?}");
    }
    let mut nowhere = turnlock(["doctor"]);
    nowhere.env("OPENCLAW_STATE_DIR", room.dir.join("none"));
    assert_eq!(ended(nowhere).code, Some(2));
}

#[test]
fn an_undo_waits_for_nobody() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"to").unwrap();
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    let _holder = held(&room, &[]);
    assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(75));
}

#[test]
fn a_linked_directory_is_reported_and_not_followed() {
    let (room, elsewhere) = (room(), room());
    fs::write(elsewhere.dir.join("x.jsonl.lock"), "{\"pid\":1073741824}").unwrap();
    fs::create_dir_all(room.dir.join("agents/main")).unwrap();
    std::os::unix::fs::symlink(&elsewhere.dir, room.dir.join("agents/main/sessions")).unwrap();
    let (finding, code) = only(&["--fix"], &room.dir);
    assert_eq!((&finding["problem"]["kind"], code), (&json!("unreadable-directory"), Some(1)));
    assert_eq!(names(&elsewhere.dir), ["x.jsonl.lock"]);
}

#[test]
fn a_stale_gateway_lock_of_a_state_directory_is_found_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().canonicalize().unwrap();
    std::fs::create_dir_all(state.join("agents/main/sessions")).unwrap();
    let lock = state.join("gateway.state.lock");
    // A pid that no process has.
    std::fs::write(&lock, r#"{"pid":1073741824,"createdAt":"2026-01-01T00:00:00.000Z"}"#).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = turnlock(["doctor"]);
        command.args(arguments).arg(&state);
        ended(command)
    };
    let found = run(&[]);
    assert!(
        found.code == Some(1) && found.out.contains("gateway.state.lock") && lock.exists(),
        "{found:?}"
    );
    let fixed = run(&["--fix"]);
    assert!(
        fixed.code == Some(0) && fixed.out.contains("[removed]") && !lock.exists(),
        "{fixed:?}"
    );
    std::fs::write(state.join("agents/main/sessions/s.jsonl"), "").unwrap();
    assert_eq!(run(&[]).code, Some(0));
}

#[test]
fn where_no_session_is_found_nothing_is_healthy_and_the_advice_finds_some() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("empty")).unwrap();
    fs::write(at("events.ndjson"), "{}\n").unwrap();
    for wrong in ["empty", "."] {
        let answer = ended(doctor(&[], &at(wrong)));
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.out.starts_with("No session found in "), "{answer:?}");
        assert!(!answer.out.contains("healthy"), "{answer:?}");
        assert_eq!(ended(doctor(&["--json"], &at(wrong))).code, Some(1));
    }
    // A directory above the sessions, and a name that a shell would take apart. What a terminal
    // would obey is no advice, and a link is not followed.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("s.jsonl"), "{}\n").unwrap();
    fs::create_dir_all(at("opt")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), at("opt/link")).unwrap();
    for sessions in [
        "opt/oc1/config/agents/main/sessions",
        "opt/oc 2/agents/it's/sessions",
        "opt/a\u{1b}[31m/agents/main/sessions",
    ] {
        fs::create_dir_all(at(sessions)).unwrap();
        fs::write(at(sessions).join("s.jsonl"), "{}\n").unwrap();
    }
    let answer = ended(doctor(&[], &at("opt")));
    assert!(answer.code == Some(0) && answer.out.contains("Examined 3 sessions"), "{answer:?}");
    for sessions in ["opt/x/logs", "opt/it's/logs", "opt/a\u{1b}[31m/logs"] {
        fs::create_dir_all(at(sessions)).unwrap();
        fs::write(at(sessions).join("s.jsonl"), "{}\n").unwrap();
    }
    fs::remove_dir_all(at("opt/oc1")).unwrap();
    fs::remove_dir_all(at("opt/oc 2")).unwrap();
    fs::remove_dir_all(at("opt/a\u{1b}[31m/agents")).unwrap();
    let answer = ended(doctor(&[], &at("opt")));
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let advice = answer.out.lines().last().unwrap().trim().strip_prefix("turnlock ").unwrap();
    let mut followed = Command::new("sh");
    followed.args(["-c", &format!("\"$0\" {advice}"), TURNLOCK]);
    let followed = ended(followed);
    assert_eq!(followed.code, Some(0), "{followed:?}");
    assert_eq!(followed.out, "Examined 2 sessions in 2 directories: healthy.\n");
    // Very many wrong paths are not all named.
    let many: Vec<_> = (0..50).map(|n| at(&format!("empty/{n}"))).collect();
    many.iter().for_each(|dir| fs::create_dir(dir).unwrap());
    let mut command = turnlock(["doctor"]);
    command.args(&many);
    let answer = ended(command);
    assert!(answer.code == Some(1) && answer.out.contains(" and 47 more"), "{answer:?}");
}

#[test]
fn sessions_without_locks_are_healthy_where_only_locks_are_looked_at() {
    let room = room();
    fs::write(&room.session, "{\"torn").unwrap();
    for path in [&room.dir, &room.session] {
        let answer = ended(doctor(&["--locks-only"], path));
        let told = "Examined 1 session in 1 directory: healthy.\n";
        assert_eq!((answer.code, &*answer.out), (Some(0), told), "{answer:?}");
    }
}

#[test]
fn a_leftover_without_a_session_goes_and_makes_none() {
    let room = room();
    fs::write(room.dir.join("s.jsonl.rewrite-01890000-0000-7000-8000-000000000000.tmp"), "half")
        .unwrap();
    assert_eq!(only(&["--fix"], &room.dir).1, Some(0));
    assert!(room.names().is_empty(), "{:?}", room.names());
}

#[test]
fn what_remains_of_a_gateway_is_in_the_summary() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("agents/main/sessions")).unwrap();
    let lock = dir.path().join("gateway.state.lock");
    fs::write(&lock, r#"{"pid":1073741824,"createdAt":"2026-01-01T00:00:00.000Z"}"#).unwrap();
    let found = ended(doctor(&[], dir.path()));
    assert!(found.out.contains("0 fixed, 1 finding remains. Run it again with --fix"), "{found:?}");
    let fixed = ended(doctor(&["--fix"], dir.path()));
    assert!(
        fixed.out.contains("1 fixed, 0 findings remain.") && !fixed.out.contains("Run it again"),
        "{fixed:?}"
    );
    fs::write(dir.path().join("agents/main/sessions/s.jsonl"), "").unwrap();
    assert!(ended(doctor(&[], dir.path())).out.contains("healthy"));
}

#[test]
fn a_reader_is_not_advised_to_have_its_session_created() {
    let room = room();
    let mut read = turnlock(["read"]);
    read.arg(&room.session);
    let refused = ended(read);
    assert!(refused.code == Some(1) && refused.err.contains("no such session"), "{refused:?}");
    assert!(!refused.err.contains("create"), "{refused:?}");
}
