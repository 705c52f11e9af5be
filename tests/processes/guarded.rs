//! Locks for files of any name, and sweeps of stores with a directory for each session.

use std::fs;
use std::os::unix::fs::symlink;

use turnlock::{Error, LostCause};
use turnlock_testing::{room, until};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

#[test]
fn a_file_of_any_name_is_guarded_and_never_touched() {
    let room = room();
    let settings = room.dir.join("settings.json");
    fs::write(&settings, "{}").unwrap();
    let sessions = buffered();
    let guard = sessions.guard(&settings).label("settings").acquire_blocking().unwrap();
    assert_eq!(guard.path(), settings);
    let refused = sessions.guard(&settings).try_acquire().map(drop);
    let Err(Error::Timeout { holder: Some(holder), .. }) = &refused else { panic!("{refused:?}") };
    assert_eq!(holder.label.as_deref(), Some("settings"));
    // Another process waits for it, by the session that stands for it.
    let session = room.dir.join("settings.json.guard.jsonl");
    let mut other = Child::start(&session, How::default());
    other.tell(&Ask::Acquire(60_000));
    guard.release_blocking().unwrap();
    other.answered_held();
    other.kill();
    let guard = sessions.guard(&settings).acquire_blocking().unwrap();
    assert_eq!(guard.lost().unwrap(), None);
    let mut robber = Child::start(&session, How::default());
    assert_eq!(robber.ask(&Ask::Revoke(guard.owner())), Answer::Done);
    assert_eq!(guard.lost().unwrap(), Some(LostCause::Removed));
    drop(guard);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "{}");
    until("nothing is left beside it", || room.names() == ["settings.json"]);
    // A file that does not exist, and a directory, can be guarded; what has no name cannot.
    drop(sessions.guard(room.dir.join("none")).try_acquire().unwrap());
    drop(sessions.guard(&room.dir).try_acquire().unwrap());
    let refused = sessions.guard("/").try_acquire().map(drop);
    assert!(matches!(refused, Err(Error::NotASession { .. })), "{refused:?}");
}

#[test]
fn a_store_with_a_directory_for_each_session_is_swept_at_once() {
    let room = room();
    let elsewhere = turnlock_testing::room();
    fs::write(&elsewhere.lock, "{}").unwrap();
    symlink(&elsewhere.dir, room.dir.join("link")).unwrap();
    let mut sessions = Vec::new();
    for name in ["a", "b/c", "b/d/e"] {
        let dir = room.dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        sessions.push(dir.join("session.jsonl"));
    }
    let mut living = Child::start(&sessions[0], How::default());
    living.acquire();
    for session in &sessions[1..] {
        let mut doomed = Child::start(session, How::default());
        doomed.acquire();
        doomed.kill();
    }
    let reports = buffered().sweep_below(&room.dir).unwrap();
    assert_eq!(reports.len(), 6, "{reports:?}");
    let removed: Vec<_> = reports
        .iter()
        .flat_map(|report| report.locks.as_ref().unwrap())
        .filter(|lock| lock.removed)
        .map(|lock| lock.session())
        .collect();
    assert_eq!(removed, sessions[1..]);
    assert!(elsewhere.lock.exists(), "no link is followed");
    living.release();
    let missing = buffered().sweep_below(room.dir.join("no/such"));
    assert_eq!(missing.unwrap_err().code(), "io");
    drop(child(&room));
}

#[test]
fn a_directory_has_one_guard_however_its_path_ends() {
    let room = room();
    let store = room.dir.join("store");
    fs::create_dir(&store).unwrap();
    let sessions = buffered();
    let guard = sessions.guard(&store).try_acquire().unwrap();
    for end in ["store/", "store/.", "./store//"] {
        let refused = sessions.guard(room.dir.join(end)).try_acquire().map(drop);
        assert!(matches!(refused, Err(Error::Timeout { .. })), "{end}: {refused:?}");
    }
    guard.release_blocking().unwrap();
    assert_eq!(turnlock_testing::names(&store), [""; 0]);
}

#[test]
fn the_guard_of_a_session_is_not_its_turn() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let sessions = buffered();
    let guard = sessions.guard(&room.session).try_acquire().unwrap();
    let turn = sessions.turn(&room.session).try_acquire().unwrap();
    let of_guard = sessions.guard(room.dir.join("s.jsonl.guard.jsonl")).try_acquire().unwrap();
    turn.append_blocking(&1).unwrap();
    turn.release_blocking().unwrap();
    guard.release_blocking().unwrap();
    of_guard.release_blocking().unwrap();
    assert_eq!(room.text(), "{}\n1\n");
    room.expect_clean();
}
