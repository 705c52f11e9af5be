//! The whole file under a turn: read, rewrite, repair, restore.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};
use turnlock::{Durability, Error, Item, Sessions};

struct Room {
    dir: tempfile::TempDir,
    session: PathBuf,
    sessions: Sessions,
}

fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().canonicalize().unwrap().join("s.jsonl");
    Room {
        session,
        dir,
        sessions: Sessions::builder().durability(Durability::Buffered).build().unwrap(),
    }
}

impl Room {
    fn text(&self) -> String {
        fs::read_to_string(&self.session).unwrap()
    }

    fn post(&self, n: u32) {
        self.sessions.post_blocking(&self.session, &json!({"post": n})).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_read_tells_lines_and_damage_and_counts_as_seen() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"b\":\n{\"c\":3}\n").unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    room.post(1);
    let items: Vec<_> = turn.read().unwrap().lines().map(Result::unwrap).collect();
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Line(_))).count(), 3);
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Damage(_))).count(), 1);
    assert_eq!(turn.append_blocking(&json!({"d": 4})).unwrap().intervening, 0);
}

/// Somebody who is inside its append, and takes it back: the disk was full, or the sync failed.
struct Writing(fs::File, u64);

impl Writing {
    fn begin(room: &Room, line: &str) -> Self {
        let mut file = fs::File::options().append(true).open(&room.session).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let before = file.metadata().unwrap().len();
        file.write_all(line.as_bytes()).unwrap();
        Self(file, before)
    }

    fn take_back(self) {
        self.0.set_len(self.1).unwrap();
    }
}

#[test]
fn what_is_being_written_is_not_read_since_it_may_be_taken_back() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    let writing = Writing::begin(&room, "{\"post\":1}\n");
    assert_eq!(turn.read().unwrap().lines().count(), 1);
    writing.take_back();
    room.post(2);
    turn.rewrite_blocking([json!({"own": 1})]).unwrap();
    assert_eq!(room.text(), "{\"own\":1}\n{\"post\":2}\n");
    assert_eq!(turn.read().unwrap().lines().count(), 2);
}

#[test]
fn a_file_that_another_program_put_there_is_not_read_while_somebody_writes_to_it() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    let other = room.dir.path().join("other");
    fs::write(&other, "{\"foreign\":1}\n").unwrap();
    fs::rename(other, &room.session).unwrap();
    let writing = Writing::begin(&room, "{\"post\":1}\n");
    assert!(matches!(turn.read(), Err(Error::DataLockBusy { .. })));
    writing.take_back();
    assert_eq!(turn.read().unwrap().lines().count(), 1);
}

#[test]
fn posts_that_a_repair_has_moved_are_told_of_by_the_next_append() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"b\":\n").unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    room.post(1);
    turn.repair_blocking().unwrap();
    assert_eq!(turn.append_blocking(&json!({"d": 4})).unwrap().intervening, 11);
    assert_eq!(turn.append_blocking(&json!({"e": 5})).unwrap().intervening, 0);
    assert!(matches!(turn.rewrite_blocking([json!(1)]), Err(Error::ReadFirst { .. })));
}

/// An operation that fails gives the session file up; what was appended before is synced all the same.
#[test]
fn a_sync_after_a_rewrite_that_was_refused_syncs() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"b\":\n").unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    room.post(1);
    turn.repair_blocking().unwrap();
    turn.append_blocking(&json!({"d": 4})).unwrap();
    turn.rewrite_blocking([json!(1)]).unwrap_err();
    turn.sync_blocking().unwrap();
    turn.rewrite_blocking([json!(1)]).unwrap_err();
    fs::remove_file(&room.session).unwrap();
    assert!(
        matches!(turn.sync_blocking(), Err(Error::NoSession { .. })),
        "there is nothing to sync, and that is said"
    );
}

#[test]
fn a_turn_that_was_lost_makes_no_session_file() {
    let room = room();
    let removed = || {
        let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"own": 1})).unwrap();
        fs::remove_file(turn.lock_path()).unwrap();
        fs::remove_file(turn.path()).unwrap();
        turn
    };
    assert!(matches!(removed().append_blocking(&json!(1)), Err(Error::LockLost { .. })));
    assert_eq!(room.names(), [""; 0]);
    assert!(matches!(removed().rewrite_blocking([json!(1)]), Err(Error::LockLost { .. })));
    assert_eq!(room.names(), [""; 0]);
    assert!(matches!(removed().release_blocking(), Err(Error::LockLost { .. })));
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_revoke_where_there_is_nothing_leaves_nothing() {
    let room = room();
    assert!(matches!(
        room.sessions.revoke(&room.session, uuid::Uuid::nil()),
        Err(Error::NotTheHolder { .. })
    ));
    assert_eq!(room.names(), [""; 0]);
}

#[test]
fn a_rewrite_carries_over_the_posts_that_the_turn_has_not_read() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_all_blocking((0..10).map(|n| json!({"old": n}))).unwrap();
    room.post(1);
    turn.append_blocking(&json!({"own": 1})).unwrap();
    room.post(2);
    let rewritten = turn.rewrite_blocking([json!({"summary": true}), json!({"own": 1})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":true}\n{\"own\":1}\n{\"post\":1}\n{\"post\":2}\n");
    assert_eq!(rewritten.carried, 22);
    // Still unread: a second rewrite carries them again, and what came since.
    room.post(3);
    turn.rewrite_blocking([json!({"summary": 2})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":2}\n{\"post\":1}\n{\"post\":2}\n{\"post\":3}\n");
    // Once they are read they are the holder's to keep or to drop.
    assert_eq!(turn.read().unwrap().records::<Value>().count(), 4);
    turn.rewrite_blocking([json!({"summary": 3})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":3}\n");
    assert_eq!(turn.append_blocking(&json!({"n": 1})).unwrap().intervening, 0);
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["s.jsonl"]);
}

#[test]
fn a_repair_takes_damage_out_and_a_restore_puts_it_back() {
    let room = room();
    let damaged = b"{\"a\":1}\n{\"cut\":\"in the mid{\"whole\":2}\n\0\0\0\0{\"c\":3}\n{\"torn\":";
    fs::write(&room.session, damaged).unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    let repair = turn.repair_blocking().unwrap();
    assert!(repair.changed());
    assert_eq!(room.text(), "{\"a\":1}\n{\"whole\":2}\n{\"c\":3}\n");
    assert!(!turn.repair_blocking().unwrap().changed());
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged", "s.jsonl.lock"]);
    turn.restore_blocking().unwrap();
    assert_eq!(fs::read(&room.session).unwrap(), damaged);
    assert!(matches!(turn.restore_blocking(), Err(Error::Restore { .. })));
}

#[test]
fn a_restore_is_refused_once_something_was_appended() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"torn\":").unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.repair_blocking().unwrap();
    turn.append_blocking(&json!({"b": 2})).unwrap();
    let before = room.text();
    assert!(matches!(turn.restore_blocking(), Err(Error::Restore { .. })));
    assert_eq!(room.text(), before);
}

#[test]
fn a_rewrite_after_a_repair_loses_no_unread_post() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"a": 1})).unwrap();
    room.post(1);
    let mut file = fs::OpenOptions::new().append(true).open(&room.session).unwrap();
    std::io::Write::write_all(&mut file, b"{\"torn\":").unwrap();
    turn.repair_blocking().unwrap();
    assert!(matches!(turn.rewrite_blocking([json!({"summary": 1})]), Err(Error::ReadFirst { .. })));
    assert_eq!(turn.read().unwrap().records::<Value>().filter_map(Result::ok).count(), 2);
    turn.rewrite_blocking([json!({"summary": 1})]).unwrap();
    assert_eq!(room.text(), "{\"summary\":1}\n");
}

#[test]
fn a_rewrite_after_a_revoke_is_refused_and_leaves_nothing() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"a": 1})).unwrap();
    room.sessions.revoke(&room.session, turn.owner()).unwrap();
    assert!(matches!(turn.rewrite_blocking([json!({"b": 1})]), Err(Error::LockLost { .. })));
    assert!(matches!(turn.repair_blocking(), Err(Error::LockLost { .. })));
    drop(turn);
    assert_eq!(room.text(), "{\"a\":1}\n");
    assert_eq!(room.names(), ["s.jsonl"]);
}

#[tokio::test]
async fn the_async_twins_do_the_same() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire().await.unwrap();
    turn.append(&json!({"a": 1})).await.unwrap();
    turn.rewrite([json!({"b": 1})]).await.unwrap();
    assert!(!turn.repair().await.unwrap().changed());
    assert!(turn.restore().await.is_err());
    turn.sync().await.unwrap();
    turn.release().await.unwrap();
    assert_eq!(room.text(), "{\"b\":1}\n");
}

/// Writes as a program does that knows no lock.
fn scrawl(room: &Room, bytes: &[u8]) {
    use std::io::Write;
    fs::File::options().append(true).open(&room.session).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_torn_tail_that_a_rewrite_carried_over_is_sealed_by_the_next_append() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    scrawl(&room, b"{\"torn");
    turn.rewrite_blocking([json!({"own": 1})]).unwrap();
    assert!(turn.append_blocking(&json!({"own": 2})).unwrap().sealed);
    assert_eq!(room.text(), "{\"own\":1}\n{\"torn\n{\"own\":2}\n");
}

#[test]
fn a_post_behind_a_torn_line_is_a_line_of_its_own_after_a_rewrite() {
    let room = room();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"own": 1})).unwrap();
    scrawl(&room, b"{\"torn");
    assert!(turn.append_blocking(&json!({"own": 2})).unwrap().sealed);
    room.post(1);
    turn.rewrite_blocking([json!({"own": 3})]).unwrap();
    assert_eq!(room.text(), "{\"own\":3}\n{\"torn\n{\"post\":1}\n");
}

#[test]
fn what_a_repair_took_out_is_a_torn_tail_again_when_it_is_taken_back() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"torn").unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    assert!(turn.repair_blocking().unwrap().changed());
    turn.restore_blocking().unwrap();
    assert!(turn.append_blocking(&json!({"b": 2})).unwrap().sealed);
    assert_eq!(room.text(), "{\"a\":1}\n{\"torn\n{\"b\":2}\n");
}

#[test]
fn a_repair_that_finds_nothing_damaged_leaves_alone_what_another_may_be_writing_into() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n").unwrap();
    // Opened by somebody who has not come to write.
    fs::write(room.dir.path().join("s.jsonl.damaged"), "").unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    assert!(!turn.repair_blocking().unwrap().changed());
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged", "s.jsonl.lock"]);
}

#[test]
fn a_repair_whose_quarantine_was_taken_away_changes_nothing() {
    let room = room();
    let damaged = format!("{{\"torn\n{}", "{\"a\":1}\n".repeat(1 << 20));
    fs::write(&room.session, &damaged).unwrap();
    let quarantine = room.dir.path().join("s.jsonl.damaged");
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| while fs::remove_file(&quarantine).is_err() {});
        turn.repair_blocking().unwrap_err().to_string()
    });
    assert!(error.contains("s.jsonl.damaged") && error.contains("repair it again"), "{error}");
    assert!(fs::read_to_string(&room.session).unwrap() == damaged);
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"]);
    turn.repair_blocking().unwrap();
    turn.restore_blocking().unwrap();
    assert!(fs::read_to_string(&room.session).unwrap() == damaged);
}

#[test]
fn a_quarantine_that_is_another_file_under_a_second_name_is_refused() {
    let room = room();
    let damaged = "{\"a\":1}\n{\"torn";
    fs::write(&room.session, damaged).unwrap();
    let victim = room.dir.path().join("victim");
    fs::write(&victim, "its own\n").unwrap();
    fs::hard_link(&victim, room.dir.path().join("s.jsonl.damaged")).unwrap();
    let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
    let error = turn.repair_blocking().unwrap_err().to_string();
    assert!(error.contains("s.jsonl.damaged") && error.contains("hard links"), "{error}");
    assert_eq!(
        (room.text().as_str(), fs::read_to_string(&victim).unwrap().as_str()),
        (damaged, "its own\n")
    );
    turn.release_blocking().unwrap();
    assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged", "victim"]);
}

#[test]
fn a_quarantine_is_given_to_the_sessions_owner_only_by_who_makes_it() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    let (session_s, ours) = (1234, 0);
    for (is_there, owner) in [(false, session_s), (true, ours)] {
        let room = room();
        let quarantine = room.dir.path().join("s.jsonl.damaged");
        fs::write(&room.session, "{\"a\":1}\n{\"torn").unwrap();
        chown(&room.session, Some(session_s), Some(session_s)).unwrap();
        if is_there {
            fs::write(&quarantine, "").unwrap();
        }
        room.sessions.turn(&room.session).acquire_blocking().unwrap().repair_blocking().unwrap();
        let facts = fs::metadata(&quarantine).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (owner, owner));
        assert!(facts.len() > 0);
    }
}

/// An access control list as the kernel takes it: `rw` for one user more, whom the mode knows only as the group's bits.
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

impl Room {
    fn set(&self, name: &str, value: &[u8]) -> bool {
        let set = rustix::fs::setxattr(&self.session, name, value, rustix::fs::XattrFlags::empty());
        set.inspect_err(|why| eprintln!("skipped: {name}: {why}")).is_ok()
    }

    fn attribute(&self, name: &str) -> Option<Vec<u8>> {
        let mut value = Vec::with_capacity(1 << 10);
        rustix::fs::getxattr(&self.session, name, rustix::buffer::spare_capacity(&mut value))
            .ok()?;
        Some(value)
    }

    fn mode(&self) -> u32 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.session).unwrap().mode() & 0o7777
    }

    /// Whatever gives the session a new file.
    fn renew(&self, looked: impl Fn(&str)) {
        let mut turn = self.sessions.turn(&self.session).acquire_blocking().unwrap();
        turn.rewrite_blocking([json!({"a": 1})]).unwrap();
        looked("a rewrite");
        scrawl(self, b"{\"torn");
        assert!(turn.repair_blocking().unwrap().changed());
        looked("a repair");
        turn.restore_blocking().unwrap();
        looked("an undo");
    }
}

#[test]
fn a_new_file_has_the_access_list_and_the_attributes_of_the_old_one() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    if !room.set(NOTE, b"kept") || !room.set(ACCESS, &access_list()) {
        return;
    }
    assert_eq!(room.mode(), 0o660);
    room.renew(|after| {
        assert_eq!(room.attribute(ACCESS), Some(access_list()), "{after}");
        assert_eq!(room.attribute(NOTE).as_deref(), Some(&b"kept"[..]), "{after}");
        assert_eq!(room.mode(), 0o660, "{after}");
    });
}

#[test]
fn a_new_file_does_not_inherit_an_access_list_that_the_old_one_has_not() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    fs::set_permissions(&room.session, std::os::unix::fs::PermissionsExt::from_mode(0o660))
        .unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(why) =
        rustix::fs::setxattr(room.dir.path(), "system.posix_acl_default", &access_list(), flags)
    {
        return eprintln!("skipped: {why}");
    }
    room.renew(|after| {
        assert_eq!(room.attribute(ACCESS), None, "{after}");
        assert_eq!(room.mode(), 0o660, "{after}");
    });
    let quarantine = room.dir.path().join("s.jsonl.damaged");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(quarantine).unwrap());
    assert_eq!(mode & 0o077, 0, "the mask of whatever it inherited");
}

#[test]
fn a_session_with_the_longest_name_is_rewritten_and_with_room_for_its_quarantine_repaired() {
    for (length, has_quarantine) in [(206, true), (207, true), (247, true), (250, false)] {
        let mut room = room();
        let name = "x".repeat(length - ".jsonl".len()) + ".jsonl";
        room.session = room.session.with_file_name(&name);
        let mut turn = room.sessions.turn(&room.session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"a": 1})).unwrap();
        turn.rewrite_blocking([json!({"b": 1})]).unwrap();
        scrawl(&room, b"{\"torn");
        if has_quarantine {
            turn.repair_blocking().unwrap();
            assert_eq!(room.text(), "{\"b\":1}\n");
            turn.restore_blocking().unwrap();
        } else {
            let error = turn.repair_blocking().unwrap_err().to_string();
            assert!(error.contains(".damaged"), "{error}");
        }
        assert_eq!(room.text(), "{\"b\":1}\n{\"torn");
        turn.release_blocking().unwrap();
        assert_eq!(room.names().len(), 1 + usize::from(has_quarantine), "{:?}", room.names());
    }
}
