//! Fifty instances in one command.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use turnlock_testing::{am_root, ended, room};

use super::made::{CLASSES, Dice, Made, doctor, found};
use crate::program::TURNLOCK;

#[test]
fn fifty_instances_are_found_explained_and_put_right_in_one_command() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(3);
    let (mut stale, mut damaged, mut sessions) = (0, Vec::new(), 0);
    for instance in 0..50 {
        for agent in 0..4 {
            let dir = root.path().join(format!("oc{instance}/config/agents/a{agent}/sessions"));
            fs::create_dir_all(&dir).unwrap();
            for n in 0..50 {
                let path = dir.join(format!("{n}.jsonl"));
                let mut made = Made::default();
                (0..4).for_each(|_| made.whole(100));
                sessions += 1;
                if dice.below(100) == 0 {
                    made.damage(dice.below(CLASSES), 100, &mut dice);
                    damaged.push((path.clone(), made.repaired()));
                }
                if dice.below(20) == 0 {
                    stale += 1;
                    let record =
                        r#"{ "pid": 1073741824, "createdAt": "2026-01-02T03:04:05.678Z" }"#;
                    fs::write(dir.join(format!("{n}.jsonl.lock")), record).unwrap();
                }
                fs::write(path, made.bytes).unwrap();
            }
        }
    }
    let pattern = root.path().join("oc*/config/agents/*/sessions");

    let (before, answer) = found(&[], &pattern);
    assert_eq!(answer.code, Some(1));
    assert_eq!(before["directories"], 200);
    assert_eq!(before["sessions"], sessions);
    assert_eq!(before["remaining"], stale + damaged.len());
    for finding in before["findings"].as_array().unwrap() {
        assert_eq!(finding["treatment"]["action"], "would", "{finding}");
    }

    let fixed = ended(doctor(&["--fix"], &pattern));
    assert_eq!(fixed.code, Some(0), "{}", fixed.out);
    assert!(
        fixed.out.starts_with(&format!("Found {stale} session lock files.\n- ")),
        "{}",
        fixed.out
    );
    assert_eq!(fixed.out.matches("stale=yes (dead-pid, too-old) [removed]").count(), stale);
    assert_eq!(fixed.out.matches("[repaired").count(), damaged.len());
    for (path, repaired) in damaged {
        assert_eq!(fs::read(path).unwrap(), repaired);
    }
    assert_eq!(ended(doctor(&[], &pattern)).code, Some(0));
}

/// Root reads everything; others do not.
#[test]
fn an_unreadable_file_is_reported_and_kept() {
    if !am_root("can make somebody else's file") {
        return;
    }
    let room = room();
    fs::set_permissions(&room.dir, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["secret.jsonl", "secret.jsonl.lock"] {
        fs::write(room.dir.join(name), "{\"pid\":1073741824}").unwrap();
        fs::set_permissions(room.dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy.path().join("turnlock");
    fs::copy(TURNLOCK, &program).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command.args(["doctor", "--fix", "--json"]).arg(&room.dir);
    let answer = ended(command);
    if answer.err.contains("setpriv") {
        eprintln!("skipped: no setpriv");
        return;
    }
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let kinds = answer.out.matches("\"unreadable").count();
    assert!(kinds >= 2 && answer.out.contains("Permission denied"), "{answer:?}");
    assert_eq!(room.names(), ["secret.jsonl", "secret.jsonl.lock"]);
}
