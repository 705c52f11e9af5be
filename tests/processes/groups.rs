//! Sessions that several users share, and lock files that are another user's.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};
use serde_json::json;
use turnlock_testing::user::{as_user, directory_of, file_of};
use turnlock_testing::{Room, am_root, room, until};

use crate::child::{Answer, Ask, Child, How};

const ONE: u32 = 1001;
const OTHER: u32 = 1002;
/// The group that both are in.
const GROUP: u32 = 2000;

/// A child of a user who is in the group; `None`, said aloud, where there cannot be one.
fn start(uid: u32, session: &Path, portable: bool) -> Option<Child> {
    let through = as_user(uid, &[GROUP])?;
    Some(Child::start(session, How { through, portable, ..How::default() }))
}

/// A room with a directory that is the group's, and a session of `ONE`'s that the group shares.
fn shared_room(directory_owner: u32) -> Option<Room> {
    am_root("can make files of others").then(|| {
        let mut room = room();
        room.let_all_in();
        let dir = room.dir.join("shared");
        fs::create_dir(&dir).unwrap();
        chown(&dir, Some(directory_owner), Some(GROUP)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o2770)).unwrap();
        room.session = dir.join("s.jsonl");
        room.lock = dir.join("s.jsonl.lock");
        room.dir = dir;
        put_session(&room, "");
        room
    })
}

fn put_session(room: &Room, content: &str) {
    file_of(ONE, 0o660, &room.session, content);
    chown(&room.session, Some(ONE), Some(GROUP)).unwrap();
}

fn facts(path: &Path) -> (u32, u32) {
    let facts = fs::metadata(path).unwrap();
    (facts.gid(), facts.mode() & 0o7777)
}

#[test]
fn another_user_of_the_group_takes_over_at_the_first_try() {
    for (owner, portable) in [(0, false), (ONE, false), (0, true)] {
        let Some(room) = shared_room(owner) else { return };
        let Some(mut one) = start(ONE, &room.session, portable) else { return };
        let Some(mut other) = start(OTHER, &room.session, portable) else { return };
        one.acquire();
        one.append(json!({"n": 1}));
        assert_eq!(facts(&room.lock), (GROUP, 0o660));
        let (kind, text) = other.refused(&Ask::Acquire(0));
        assert!(kind == "timeout" && text.contains("label \"child\""), "{text}");
        assert!(matches!(other.ask(&Ask::Post(json!({"n": 2}))), Answer::Appended { .. }));
        one.kill();
        other.tell(&Ask::Acquire(0));
        other.answered_held();
        other.append(json!({"n": 3}));
        other.kill();
        // And back, and for root.
        let Some(mut one) = start(ONE, &room.session, portable) else { return };
        one.tell(&Ask::Acquire(0));
        one.answered_held();
        one.kill();
        let mut root = Child::start(&room.session, How { portable, ..How::default() });
        root.tell(&Ask::Acquire(0));
        root.answered_held();
        root.release();
        assert_eq!(room.lines().len(), 3);
        root.acquire();
        assert_eq!(facts(&room.lock), (GROUP, 0o660));
        root.kill();
        let Some(mut other) = start(OTHER, &room.session, portable) else { return };
        other.tell(&Ask::Acquire(0));
        other.answered_held();
        other.release();
        room.expect_clean();
    }
}

#[test]
fn another_user_of_the_group_waits_revokes_rewrites_and_repairs() {
    let Some(room) = shared_room(0) else { return };
    let Some(mut one) = start(ONE, &room.session, false) else { return };
    let Some(mut other) = start(OTHER, &room.session, false) else { return };
    one.acquire();
    other.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    one.release();
    other.answered_held();
    one.tell(&Ask::Acquire(60_000));
    room.until_waited_for(1);
    other.release();
    let owner = one.answered_held();
    assert_eq!(other.ask(&Ask::Revoke(owner)), Answer::Done);
    assert_eq!(one.refused(&Ask::Append(json!({}))).0, "lock-lost");
    // The file is another's then, but of the same group.
    other.acquire();
    assert_eq!(other.ask(&Ask::Rewrite(json!({"n": 1}))), Answer::Done);
    other.release();
    assert_eq!(facts(&room.session), (GROUP, 0o660));
    one.acquire();
    one.append(json!({"n": 2}));
    one.kill();
    // A dead lock, a torn line and a quarantine of the one are no trouble to the other.
    for (uid, n) in [(OTHER, 3), (ONE, 4), (OTHER, 5)] {
        room.scrawl("{\"torn");
        let Some(mut user) = start(uid, &room.session, false) else { return };
        assert_eq!(user.ask(&Ask::Fix), Answer::Remaining(0));
        user.acquire();
        user.append(json!({ "n": n }));
        user.kill();
        assert_eq!(facts(&room.dir.join("s.jsonl.damaged")), (GROUP, 0o660));
    }
    assert_eq!(room.lines().len(), 5);
}

#[test]
fn a_lock_file_lets_nobody_in_whom_its_session_does_not() {
    let Some(room) = shared_room(0) else { return };
    for (mode, expected) in [(0o600, 0o600), (0o640, 0o600), (0o644, 0o600), (0o664, 0o664)] {
        fs::set_permissions(&room.session, fs::Permissions::from_mode(mode)).unwrap();
        let Some(mut one) = start(ONE, &room.session, false) else { return };
        one.acquire();
        assert_eq!(facts(&room.lock).1, expected, "{mode:o}");
        one.release();
    }
    // A group that the user is not in cannot be given.
    chown(&room.session, Some(ONE), Some(GROUP + 1)).unwrap();
    fs::set_permissions(&room.session, fs::Permissions::from_mode(0o660)).unwrap();
    let Some(mut one) = start(ONE, &room.session, false) else { return };
    one.acquire();
    assert_eq!(facts(&room.lock), (GROUP, 0o600));
    one.release();
    // An executable session makes no executable lock.
    chown(&room.session, Some(ONE), Some(GROUP)).unwrap();
    fs::set_permissions(&room.session, fs::Permissions::from_mode(0o6770)).unwrap();
    one.acquire();
    assert_eq!(facts(&room.lock), (GROUP, 0o660));
    one.release();
}

/// An access control list: the owner, one more user, the group, the mask, and the others.
fn access_list(user: u32, may: u16) -> Vec<u8> {
    let entries =
        [(1, 7, u32::MAX), (2, may, user), (4, 0, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, may, id) in entries {
        list.extend(u16::to_le_bytes(tag));
        list.extend(u16::to_le_bytes(may));
        list.extend(u32::to_le_bytes(id));
    }
    list
}

#[test]
fn a_user_whom_a_default_access_list_lets_in_takes_over_at_the_first_try() {
    if !am_root("can make files of others") {
        return;
    }
    for portable in [false, true] {
        let room = room();
        room.let_all_in();
        let dir = room.dir.join("shared");
        directory_of(ONE, 0o770, &dir);
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            if let Err(why) = setxattr(&dir, name, &access_list(OTHER, 7), XattrFlags::empty()) {
                return eprintln!("skipped: {why}");
            }
        }
        let session = dir.join("s.jsonl");
        // As a program creates it that knows nothing of all this.
        fs::write(&session, "").unwrap();
        chown(&session, Some(ONE), Some(ONE)).unwrap();
        let Some(mut one) = start(ONE, &session, portable) else { return };
        let Some(mut other) = start(OTHER, &session, portable) else { return };
        one.acquire();
        one.append(json!({"n": 1}));
        one.kill();
        other.tell(&Ask::Acquire(0));
        other.answered_held();
        other.append(json!({"n": 2}));
        // The group is nobody here: if the file became the other's, the one could not use it.
        let (kind, text) = other.refused(&Ask::Rewrite(json!({"n": 3})));
        assert!(kind == "io" && text.contains("uid 1001"), "{kind}: {text}");
        other.release();
        let Some(mut one) = start(ONE, &session, portable) else { return };
        one.acquire();
        assert_eq!(one.ask(&Ask::Rewrite(json!({"n": 4}))), Answer::Done);
        one.kill();
        other.tell(&Ask::Acquire(0));
        other.answered_held();
        other.append(json!({"n": 5}));
        other.release();
        // A lock file that lingers keeps the list that it was made with.
        until("the last lock file is gone", || !dir.join("s.jsonl.lock").exists());
        // Those whom the directory lets in, and the session does not, the lock file does not.
        setxattr(
            &session,
            "system.posix_acl_access",
            &access_list(OTHER + 1, 6),
            XattrFlags::empty(),
        )
        .unwrap();
        let Some(mut one) = start(ONE, &session, portable) else { return };
        one.acquire();
        let lock = dir.join("s.jsonl.lock");
        let through = as_user(OTHER, &[]).unwrap();
        let cat = std::process::Command::new(&through[0])
            .args(&through[1..])
            .arg("cat")
            .arg(&lock)
            .output();
        assert!(!cat.unwrap().status.success());
        one.release();
    }
}

#[test]
fn a_lock_file_of_root_that_a_user_may_not_open_is_said_to_be_roots() {
    if !am_root("can make files of others") {
        return;
    }
    let room = room();
    room.let_all_in();
    let dir = room.dir.join("mine");
    directory_of(ONE, 0o755, &dir);
    let (session, lock) = (dir.join("s.jsonl"), dir.join("s.jsonl.lock"));
    file_of(ONE, 0o600, &session, "{\"n\":1}\n");
    file_of(0, 0o600, &lock, "{}");
    let Some(mut one) = start(ONE, &session, false) else { return };
    let (kind, text) = one.refused(&Ask::Acquire(0));
    assert!(
        kind == "timeout" && text.contains("owned by root") && text.contains("remove it"),
        "{text}"
    );
    let (kind, text) = one.refused(&Ask::Revoke(uuid::Uuid::nil()));
    assert!(kind == "io" && text.contains("owned by root") && text.contains("remove it"), "{text}");
    assert_eq!(one.ask(&Ask::Fix), Answer::Remaining(1));
    // The remedy helps.
    one.tell(&Ask::Acquire(60_000));
    fs::remove_file(&lock).unwrap();
    one.answered_held();
    one.append(json!({"n": 2}));
    one.release();
    until("the lock file goes", || turnlock_testing::names(&dir) == ["s.jsonl"]);
}

#[test]
fn a_dead_lock_file_of_root_that_a_user_may_open_is_taken_over() {
    if !am_root("can make files of others") {
        return;
    }
    let room = room();
    room.let_all_in();
    let dir = room.dir.join("mine");
    directory_of(ONE, 0o755, &dir);
    let session = dir.join("s.jsonl");
    file_of(ONE, 0o666, &session, "");
    // Root that may not give its files away.
    let Some(through) = turnlock_testing::user::without("chown") else { return };
    let mut root = Child::start(&session, How { through, ..How::default() });
    root.acquire();
    assert_eq!(fs::metadata(dir.join("s.jsonl.lock")).unwrap().uid(), 0);
    let Some(mut one) = start(ONE, &session, false) else { return };
    assert_eq!(one.refused(&Ask::Acquire(0)).0, "timeout");
    root.kill();
    one.tell(&Ask::Acquire(0));
    one.answered_held();
    one.append(json!({"n": 1}));
    one.release();
}
