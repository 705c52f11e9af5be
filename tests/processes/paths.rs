//! Paths: links, directories, pipes, and the owners of new files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use turnlock::{Error, LockState, Sessions};
use turnlock_testing::{Room, am_root, room};

use crate::child::{Ask, Child, How, child};
use crate::sessions::buffered;

#[test]
fn a_symlinked_directory_is_one_lock() {
    let room = room();
    let link = room.dir.join("link");
    symlink(&room.dir, &link).unwrap();
    let sessions = buffered();
    let turn = sessions.turn(link.join("s.jsonl")).acquire_blocking().unwrap();
    assert_eq!(turn.path(), room.session);
    assert!(matches!(sessions.turn(&room.session).try_acquire(), Err(Error::Timeout { .. })));
    let mut other = Child::start(&link.join("link/./s.jsonl"), How::default());
    assert_eq!(other.refused(&Ask::Acquire(0)).0, "timeout");
    drop(turn);
    other.acquire();
    assert!(matches!(sessions.turn(&room.session).try_acquire(), Err(Error::Timeout { .. })));
}

type Make = fn(&Path);

/// What may stand at a path instead of a file.
fn strange_files() -> [(&'static str, Make); 4] {
    fn fifo(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
    fn link(path: &Path) {
        let target = path.with_file_name("target");
        fs::write(&target, "keep me").unwrap();
        symlink(target, path).unwrap();
    }
    fn socket(path: &Path) {
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    }
    [
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("FIFO", fifo),
        ("link", link),
        ("socket", socket),
    ]
}

/// Everything that opens a session's files.
fn attempts(sessions: &Sessions, room: &Room) -> [Error; 3] {
    [
        sessions.turn(&room.session).acquire_blocking().map(drop).unwrap_err(),
        sessions.turn(&room.session).try_acquire().map(drop).unwrap_err(),
        sessions.post_all_blocking(&room.session, [json!({})], true).map(drop).unwrap_err(),
    ]
}

#[test]
fn what_is_no_session_file_is_refused_at_once() {
    for (what, make) in strange_files() {
        let room = room();
        make(&room.session);
        let began = Instant::now();
        for error in attempts(&buffered(), &room) {
            assert!(matches!(error, Error::NotASession { .. }), "{what}: {error}");
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        assert!(!room.lock.exists());
        assert!(
            fs::read(room.dir.join("target")).is_ok_and(|bytes| bytes == b"keep me")
                || what != "link"
        );
    }
}

#[test]
fn what_is_no_lock_file_is_refused_at_once_and_left_alone() {
    for (what, make) in strange_files() {
        let room = room();
        make(&room.lock);
        let sessions = buffered();
        let began = Instant::now();
        for error in attempts(&sessions, &room) {
            assert!(matches!(error, Error::NotALockFile { .. }), "{what}: {error}");
        }
        let reports = sessions.sweep(&room.dir).unwrap();
        assert!(
            reports.len() == 1 && reports[0].state == LockState::Unreadable && !reports[0].removed,
            "{reports:?}"
        );
        assert!(reports[0].error.is_some(), "{reports:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        assert!(room.lock.symlink_metadata().is_ok());
    }
}

#[test]
fn a_lock_file_that_is_another_file_under_a_second_name_gives_way_and_that_file_stays() {
    let room = room();
    let precious = room.dir.join("precious");
    fs::write(&precious, "keep me").unwrap();
    fs::hard_link(&precious, &room.lock).unwrap();
    let sessions = buffered();
    // It may be a record that is being written.
    assert!(matches!(sessions.turn(&room.session).try_acquire(), Err(Error::Timeout { .. })));
    room.age_lock(Duration::from_secs(60));
    let turn = sessions.turn(&room.session).try_acquire().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    turn.release_blocking().unwrap();
    fs::hard_link(&precious, &room.lock).unwrap();
    assert!(sessions.sweep(&room.dir).unwrap()[0].removed);
    assert_eq!(fs::read(&precious).unwrap(), b"keep me");
}

#[test]
fn names_that_are_no_sessions_are_refused() {
    let room = room();
    for name in ["s.json", ".jsonl", "s.jsonl.lock", "s.jsonl/..", "s"] {
        let refused = buffered().turn(room.dir.join(name)).try_acquire().map(drop);
        assert!(matches!(refused, Err(Error::NotASession { .. })), "{name}: {refused:?}");
    }
    assert_eq!(room.names(), [""; 0]);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_created_is_private_on_request() {
    for portable in [false, true] {
        let room = room();
        let dir = room.dir.join("agents/main");
        let session = dir.join("s.jsonl");
        let sessions = Sessions::builder().private().portable(portable).build().unwrap();
        let turn = sessions.turn(&session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"n": 1})).unwrap();
        assert_eq!((mode(&dir), mode(dir.parent().unwrap())), (0o700, 0o700));
        assert_eq!((mode(turn.path()), mode(turn.lock_path())), (0o600, 0o600));
    }
}

const SOMEBODY: u32 = 65_534;

#[test]
fn what_root_creates_in_somebodys_directory_is_theirs() {
    if !am_root("can give files away") {
        return;
    }
    for portable in [false, true] {
        let room = room();
        let dir = room.dir.join("theirs");
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        let sessions = Sessions::builder().portable(portable).build().unwrap();
        let turn = sessions.turn(dir.join("deep/er/s.jsonl")).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"n": 1})).unwrap();
        for path in [turn.path(), turn.lock_path(), &dir.join("deep"), &dir.join("deep/er")] {
            let metadata = fs::metadata(path).unwrap();
            assert_eq!(
                (metadata.uid(), metadata.gid()),
                (SOMEBODY, SOMEBODY),
                "{}",
                path.display()
            );
        }
    }
}

/// Only what a call has created is given away.
#[test]
fn what_root_finds_in_somebodys_directory_stays_roots() {
    if !am_root("can give files away") {
        return;
    }
    let room = room();
    let dir = room.dir.join("theirs");
    let inner = dir.join("inner");
    fs::create_dir_all(&inner).unwrap();
    std::os::unix::fs::chown(&dir, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    let sessions = Sessions::new();
    for session in [dir.join("s.jsonl"), inner.join("s.jsonl"), inner.join("deep/s.jsonl")] {
        fs::create_dir_all(session.parent().unwrap()).unwrap();
        fs::write(&session, "{\"torn").unwrap();
        let turn = sessions.turn(&session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"n": 1})).unwrap();
        turn.repair_blocking().unwrap();
        turn.read().unwrap();
        turn.rewrite_blocking([json!({"n": 2})]).unwrap();
        turn.release_blocking().unwrap();
        sessions.post_blocking(&session, &json!({"n": 3})).unwrap();
        for path in [&session, &session.with_extension("jsonl.damaged")] {
            assert_eq!(owner(path), 0, "{}", path.display());
        }
    }
    assert_eq!((owner(&inner), owner(&inner.join("deep"))), (0, 0));
    assert_eq!(owner(&dir), SOMEBODY);
}

#[test]
fn a_lock_file_that_may_not_be_opened_is_held_by_somebody_unknown() {
    if !am_root("can give files away") {
        return;
    }
    let room = room();
    fs::write(&room.session, "").unwrap();
    let readable = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&room.dir, readable).unwrap();
    fs::set_permissions(&room.session, fs::Permissions::from_mode(0o666)).unwrap();
    let mut holder = child(&room);
    holder.acquire();
    let mut somebody = Child::start(&room.session, How { uid: Some(SOMEBODY), ..How::default() });
    assert_eq!(somebody.refused(&Ask::Acquire(0)).0, "timeout");
    somebody.tell(&Ask::Acquire(60_000));
    assert_eq!(somebody.has_answered(Duration::from_millis(100)), None);
    assert!(room.lock.exists());
    holder.release();
    somebody.answered_held();
    somebody.append(json!({"n": 1}));
}

#[test]
fn a_session_is_found_where_a_link_on_its_path_leads_by_now() {
    let room = room();
    for name in ["old", "new"] {
        fs::create_dir(room.dir.join(name)).unwrap();
    }
    let link = room.dir.join("current");
    std::os::unix::fs::symlink("old", &link).unwrap();
    let session = buffered().session(link.join("s.jsonl")).unwrap();
    session.post_creating_blocking([1]).unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("new", &link).unwrap();
    session.post_creating_blocking([2]).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    assert_eq!(turn.path(), room.dir.join("new/s.jsonl"));
    turn.append_blocking(&3).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(room.dir.join("old/s.jsonl")).unwrap(), "1\n");
    assert_eq!(fs::read_to_string(room.dir.join("new/s.jsonl")).unwrap(), "2\n3\n");
    // The directory that the link leads to is moved, and the link follows it.
    fs::rename(room.dir.join("new"), room.dir.join("moved")).unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("moved", &link).unwrap();
    let turn = session.turn().acquire_blocking().unwrap();
    turn.append_blocking(&4).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(room.dir.join("moved/s.jsonl")).unwrap(), "2\n3\n4\n");
}
