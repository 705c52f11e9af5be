//! Filesystems and directories that are not what one would wish for.

use std::fs;
use std::path::Path;

use serde_json::json;
use turnlock::{Error, LostCause, Sessions};
use turnlock_testing::disk::{Disk, Kind};
use turnlock_testing::mount::{Overlay, mounted};
use turnlock_testing::{in_a_namespace, test_name};

#[test]
fn a_session_of_a_lower_layer_is_copied_up_and_gone_on_with() {
    in_a_namespace(&test_name!(), || {
        let dir = tempfile::tempdir().unwrap();
        let fill = |lower: &Path| fs::write(lower.join("s.jsonl"), "{\"n\":\"below\"}\n").unwrap();
        let Some(overlay) = Overlay::new(dir.path(), fill) else { return };
        let session = overlay.point.join("s.jsonl");
        // Opened below, before it is copied up.
        let reader = fs::File::open(&session).unwrap();
        let sessions = Sessions::new();
        let turn = sessions.turn(&session).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"n": "above"})).unwrap();
        sessions.post_blocking(&session, &json!({"n": "posted"})).unwrap();
        turn.release_blocking().unwrap();
        drop(reader);
        assert_eq!(
            fs::read_to_string(&session).unwrap(),
            "{\"n\":\"below\"}\n{\"n\":\"above\"}\n{\"n\":\"posted\"}\n"
        );
        assert_eq!(
            fs::read_to_string(overlay.lower.join("s.jsonl")).unwrap(),
            "{\"n\":\"below\"}\n"
        );
    });
}

#[test]
fn on_a_read_only_filesystem_there_is_an_error_and_reading_goes_on() {
    in_a_namespace(&test_name!(), || {
        for disk in [Kind::Ext4, Kind::Btrfs].into_iter().filter_map(Disk::new) {
            is_remounted_read_only(&disk);
        }
    });
}

fn is_remounted_read_only(disk: &Disk) {
    let session = disk.point().join("s.jsonl");
    let remount =
        |how| assert!(mounted(&["-o", &format!("remount,{how}"), disk.point().to_str().unwrap()]));
    let sessions = Sessions::new();
    let one_turn = || -> turnlock::Result<()> {
        let turn = sessions.turn(&session).acquire_blocking()?;
        turn.append_blocking(&json!({"n": 1}))?;
        turn.release_blocking()
    };
    one_turn().unwrap();
    remount("ro");
    for error in
        [one_turn().unwrap_err(), sessions.post_blocking(&session, &json!({"n": 2})).unwrap_err()]
    {
        assert!(
            matches!(error, Error::Io { .. }) && error.to_string().contains("s.jsonl"),
            "{error}"
        );
        assert!(error.to_string().contains("Read-only file system"), "{error}");
    }
    assert_eq!(turnlock::Transcript::open(&session).unwrap().lines().count(), 1);
    remount("rw");
    one_turn().unwrap();
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"n\":1}\n{\"n\":1}\n");
}

#[test]
fn a_holder_whose_directory_was_renamed_writes_no_more() {
    let room = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| room.path().join(name));
    let sessions = Sessions::new();
    let turn = sessions.turn(old.join("s.jsonl")).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    fs::rename(&old, &new).unwrap();
    // The old path is free, and is another session.
    let other = sessions.turn(old.join("t.jsonl")).acquire_blocking().unwrap();
    other.append_blocking(&json!({"n": 2})).unwrap();
    let error = turn.append_blocking(&json!({"n": "lost"})).unwrap_err();
    assert!(matches!(error, Error::LockLost { .. } | Error::NoSession { .. }), "{error}");
    // Under its new name it is held by this very holder, as long as that lives.
    let error = sessions.turn(new.join("s.jsonl")).try_acquire().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(turn.release_blocking().is_err());
    let turn = sessions.turn(new.join("s.jsonl")).try_acquire().unwrap();
    turn.append_blocking(&json!({"n": 3})).unwrap();
    turn.release_blocking().unwrap();
    other.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(new.join("s.jsonl")).unwrap(), "{\"n\":1}\n{\"n\":3}\n");
}

/// Puts another directory in the place of a session's own, with the lock file of a living turn.
fn exchange_directory(session: &Path, lock_file: impl FnOnce(&Path, &Path)) {
    let dir = session.parent().unwrap();
    let beside = dir.with_file_name("beside");
    fs::create_dir(&beside).unwrap();
    lock_file(&dir.join("s.jsonl.lock"), &beside.join("s.jsonl.lock"));
    fs::rename(dir, dir.with_file_name("away")).unwrap();
    fs::rename(&beside, dir).unwrap();
}

#[test]
fn a_second_name_of_the_lock_file_does_not_hide_that_the_directory_is_another() {
    let room = tempfile::tempdir().unwrap();
    let session = room.path().join("sessions/s.jsonl");
    let sessions = Sessions::new();
    let turn = sessions.turn(&session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    exchange_directory(&session, |old, new| fs::hard_link(old, new).unwrap());
    assert_eq!(turn.lost().unwrap(), Some(LostCause::Moved));
    let error = turn.append_blocking(&json!({"n": "lost"})).unwrap_err();
    assert!(matches!(error, Error::LockLost { cause: LostCause::Moved, .. }), "{error}");
    assert_eq!(fs::read(room.path().join("away/s.jsonl")).unwrap(), b"{\"n\":1}\n");
}

#[test]
fn a_turn_whose_lock_file_alone_was_moved_to_the_path_acknowledges_no_more_and_ends() {
    let room = tempfile::tempdir().unwrap();
    let session = room.path().join("sessions/s.jsonl");
    let sessions = Sessions::new();
    let turn = sessions.turn(&session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    exchange_directory(&session, |old, new| fs::rename(old, new).unwrap());
    // Nobody else has the session that the path names, and none of this turn's lines is in it.
    let error = sessions.turn(&session).try_acquire().unwrap_err();
    assert!(error.is_busy(), "{error}");
    let error = turn.append_blocking(&json!({"n": "unacknowledged"})).unwrap_err();
    assert!(matches!(error, Error::Overtaken { .. }), "{error}");
    drop(turn);
    let turn = sessions.turn(&session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 2})).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"n\":2}\n");
}

#[test]
fn a_holder_whose_directory_was_removed_writes_no_more() {
    let room = tempfile::tempdir().unwrap();
    let session = room.path().join("sessions/s.jsonl");
    let sessions = Sessions::new();
    let turn = sessions.turn(&session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 1})).unwrap();
    fs::remove_dir_all(session.parent().unwrap()).unwrap();
    assert_eq!(turn.lost().unwrap(), Some(LostCause::Removed));
    let error = turn.append_blocking(&json!({"n": "lost"})).unwrap_err();
    assert!(
        matches!(error, Error::LockLost { .. } | Error::NoSession { .. } | Error::Io { .. }),
        "{error}"
    );
    assert!(!session.exists());
    drop(turn);
    let turn = sessions.turn(&session).acquire_blocking().unwrap();
    turn.append_blocking(&json!({"n": 2})).unwrap();
    turn.release_blocking().unwrap();
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"n\":2}\n");
}
