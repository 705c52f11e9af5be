//! Owner, mode, access list and attributes of the files that a rewrite, a repair and a restore
//! make.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::XattrFlags;
use serde_json::json;
use turnlock_testing::{Room, am_root, room};

use crate::sessions::buffered;

#[test]
fn a_quarantine_is_given_to_the_sessions_owner_only_by_who_makes_it() {
    if !am_root("gives files away") {
        return;
    }
    let (session_s, ours) = (1234, 0);
    for (is_there, owner) in [(false, session_s), (true, ours)] {
        let room = room();
        let quarantine = room.dir.join("s.jsonl.damaged");
        fs::write(&room.session, "{\"a\":1}\n{\"torn").unwrap();
        chown(&room.session, Some(session_s), Some(session_s)).unwrap();
        if is_there {
            fs::write(&quarantine, "").unwrap();
        }
        buffered().turn(&room.session).acquire_blocking().unwrap().repair_blocking().unwrap();
        let facts = fs::metadata(&quarantine).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (owner, owner));
        assert!(facts.len() > 0);
    }
}

/// An access control list in the kernel's form: `rw` for one more user, which the mode shows only
/// in the group's bits.
fn access_list() -> Vec<u8> {
    let entries =
        [(1, 6, u32::MAX), (2, 6, 1234), (4, 0, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)];
    let entry = |(tag, may, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    2_u32.to_le_bytes().into_iter().chain(entries.into_iter().flat_map(entry)).collect()
}

const ACCESS: &str = "system.posix_acl_access";
const NOTE: &str = "user.note";

/// Sets an attribute; `false`, said aloud, where the filesystem has none.
fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    let set = rustix::fs::setxattr(path, name, value, XattrFlags::empty());
    set.inspect_err(|why| eprintln!("skipped: {name}: {why}")).is_ok()
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(1 << 10);
    rustix::fs::getxattr(path, name, rustix::buffer::spare_capacity(&mut value)).ok()?;
    Some(value)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Everything that gives the session a new file, with a look at it after each.
fn renew(room: &Room, look: impl Fn(&str)) {
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.rewrite_blocking([json!({"a": 1})]).unwrap();
    look("a rewrite");
    room.scrawl("{\"torn");
    assert!(turn.repair_blocking().unwrap().changed());
    look("a repair");
    turn.restore_blocking().unwrap();
    look("a restore");
}

#[test]
fn a_new_file_has_the_access_list_and_the_attributes_of_the_old_one() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    if !set(&room.session, NOTE, b"kept") || !set(&room.session, ACCESS, &access_list()) {
        return;
    }
    assert_eq!(mode(&room.session), 0o660);
    renew(&room, |after| {
        assert_eq!(attribute(&room.session, ACCESS), Some(access_list()), "{after}");
        assert_eq!(attribute(&room.session, NOTE).as_deref(), Some(&b"kept"[..]), "{after}");
        assert_eq!(mode(&room.session), 0o660, "{after}");
    });
}

#[test]
fn a_new_file_does_not_inherit_an_access_list_that_the_old_one_has_not() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    fs::set_permissions(&room.session, Permissions::from_mode(0o660)).unwrap();
    if !set(&room.dir, "system.posix_acl_default", &access_list()) {
        return;
    }
    renew(&room, |after| {
        assert_eq!(attribute(&room.session, ACCESS), None, "{after}");
        assert_eq!(mode(&room.session), 0o660, "{after}");
    });
    let quarantine = room.dir.join("s.jsonl.damaged");
    assert_eq!((attribute(&quarantine, ACCESS), mode(&quarantine)), (None, 0o660));
}

/// The flags of a file as `lsattr` shows them; `None`, said aloud, where they cannot be set.
fn with_flags(flags: &str, path: &Path) -> Option<String> {
    let set = Command::new("chattr").arg(flags).arg(path).output();
    if !set.is_ok_and(|set| set.status.success()) {
        eprintln!("skipped: chattr {flags}");
        return None;
    }
    Some(flags_of(path))
}

fn flags_of(path: &Path) -> String {
    let told = Command::new("lsattr").arg(path).output().unwrap().stdout;
    String::from_utf8(told).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_new_file_has_the_flags_of_the_old_one() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let Some(flags) = with_flags("+AdS", &room.session) else { return };
    assert!(["A", "d", "S"].iter().all(|flag| flags.contains(flag)), "{flags}");
    renew(&room, |after| assert_eq!(flags_of(&room.session), flags, "{after}"));
}

#[test]
fn a_repair_and_a_restore_keep_the_time_of_the_last_change_and_a_rewrite_does_not() {
    let room = room();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let time = || fs::metadata(&room.session).unwrap().modified().unwrap();
    let age = || File::options().append(true).open(&room.session).unwrap().set_modified(long_ago);
    let turn = buffered().turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"a": 1})).unwrap();
    room.scrawl("{\"torn");
    age().unwrap();
    assert!(!turn.repair_blocking().unwrap().flags_lost);
    assert_eq!(time(), long_ago, "after a repair");
    turn.restore_blocking().unwrap();
    assert_eq!(time(), long_ago, "after a restore");
    turn.repair_blocking().unwrap();
    turn.read().unwrap();
    turn.rewrite_blocking([json!({"a": 1})]).unwrap();
    assert!(time() > long_ago, "after a rewrite");
    // Of the same length, it would be taken for unchanged.
    room.scrawl("{\"a\":1}x{\"b\":2}\n");
    age().unwrap();
    let before = room.text().len();
    turn.repair_blocking().unwrap();
    assert_eq!(room.text().len(), before);
    assert!(time() > long_ago, "after a repair that keeps the length");
}
