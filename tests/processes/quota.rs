//! A quota that is used up: clear errors, the file as before, and everything works again
//! afterwards. Every kernel that has Btrfs has its quotas, and they hold for root too.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use turnlock::{Error, Sessions, Turn};

use turnlock_testing::disk::{Disk, Kind, run};
use turnlock_testing::{in_a_namespace, test_name};

const QUOTA: usize = 1 << 20;

/// A subvolume with a quota of its own.
struct Limited {
    dir: PathBuf,
    session: PathBuf,
    _disk: Disk,
}

fn limited() -> Option<Limited> {
    let disk = Disk::new(Kind::Btrfs)?;
    let dir = disk.point().join("sessions");
    let btrfs =
        |arguments: &[&str], path: &Path| run(Command::new("btrfs").args(arguments).arg(path));
    let made = btrfs(&["quota", "enable"], disk.point())
        .and_then(|()| btrfs(&["subvolume", "create"], &dir))
        .and_then(|()| btrfs(&["qgroup", "limit", &QUOTA.to_string()], &dir));
    if let Err(why) = made {
        eprintln!("skipped: {why}");
        return None;
    }
    Some(Limited { session: dir.join("s.jsonl"), dir, _disk: disk })
}

impl Limited {
    /// A turn that has appended a line, and what the file is now.
    fn begin(&self, sessions: &Sessions, bytes: usize) -> (Turn, Vec<u8>) {
        let turn = sessions.turn(&self.session).acquire_blocking().unwrap();
        turn.append_blocking(&line(bytes)).unwrap();
        (turn, fs::read(&self.session).unwrap())
    }

    /// Writes until about this many bytes of the quota are left.
    fn use_up_but(&self, left: usize) {
        let fill = |name| {
            let mut filler =
                fs::File::options().append(true).create(true).open(self.dir.join(name)).unwrap();
            move |bytes| filler.write_all(&vec![b'x'; bytes]).and_then(|()| filler.sync_all())
        };
        if left > 0 {
            fill("spare")(left).unwrap();
        }
        let mut filler = fill("filler");
        let full = (0..QUOTA).find_map(|_| filler(4096).err());
        assert_eq!(full.unwrap().kind(), std::io::ErrorKind::QuotaExceeded);
        if left > 0 {
            self.remove("spare");
        }
    }

    fn make_room(&self) {
        self.remove("filler");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.dir.join(name)).unwrap();
        // The quota has the space back once the removal is synced.
        rustix::fs::syncfs(fs::File::open(&self.dir).unwrap()).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.filter(|name| name != "filler").collect();
        names.sort();
        names
    }
}

fn line(bytes: usize) -> Value {
    json!({"content": "x".repeat(bytes)})
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: turnlock::Result<T>) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Io { .. }) && text.contains("/sessions"), "{text}");
    assert!(text.contains("Disk quota exceeded") && text.contains("raise the quota"), "{text}");
}

#[test]
fn under_a_quota_that_is_used_up_nothing_is_written_and_nothing_lost() {
    in_a_namespace(&test_name!(), || {
        let Some(room) = limited() else { return };
        let sessions = Sessions::new();
        let (turn, before) = room.begin(&sessions, 10);
        room.use_up_but(0);
        for bytes in [10, 5000, QUOTA] {
            refused(turn.append_blocking(&line(bytes)));
            refused(turn.append_all_blocking(vec![line(bytes); 10]));
            refused(sessions.post_blocking(&room.session, &line(bytes)));
            refused(turn.rewrite_blocking([line(bytes)]));
            assert!(fs::read(&room.session).unwrap() == before, "{bytes} bytes");
            assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"]);
        }
        room.make_room();
        turn.append_blocking(&line(QUOTA / 4)).unwrap();
        turn.append_all_blocking([line(1), line(2)]).unwrap();
        turn.rewrite_blocking([line(1), line(2), line(3)]).unwrap();
        sessions.post_blocking(&room.session, &line(4)).unwrap();
        turn.release_blocking().unwrap();
        let content: String = (1..=4).map(|bytes| format!("{}\n", line(bytes))).collect();
        assert_eq!(fs::read_to_string(&room.session).unwrap(), content);
        assert_eq!(room.names(), ["s.jsonl"]);
    });
}

/// Btrfs refuses to truncate a file whose quota is used up, so that a part of a line that was too
/// long stays. The error says so, and the next append seals it.
#[test]
fn what_a_quota_keeps_from_being_taken_back_is_sealed_by_the_next_append() {
    in_a_namespace(&test_name!(), || {
        let Some(room) = limited() else { return };
        let sessions = Sessions::new();
        let (turn, before) = room.begin(&sessions, 1);
        room.use_up_but(QUOTA / 4);
        let error = turn.append_blocking(&line(QUOTA / 2)).unwrap_err().to_string();
        let stays = fs::read(&room.session).unwrap();
        let as_before = stays == before;
        assert!(stays.starts_with(&before));
        assert_eq!(error.contains("the file is as it was before"), as_before, "{error}");
        assert_eq!(error.contains("the next append seals"), !as_before, "{error}");
        refused(turn.append_all_blocking([line(2), line(3)]));
        refused(sessions.post_blocking(&room.session, &line(2)));
        refused(turn.rewrite_blocking([line(2)]));
        assert!(fs::read(&room.session).unwrap() == stays);
        room.make_room();
        assert_eq!(turn.append_blocking(&line(2)).unwrap().sealed, !as_before);
        assert_eq!(
            turn.read().unwrap().lines().count(),
            2 + usize::from(!as_before),
            "damage is one of them"
        );
        turn.repair_blocking().unwrap();
        turn.release_blocking().unwrap();
        assert_eq!(
            fs::read_to_string(&room.session).unwrap(),
            format!("{}\n{}\n", line(1), line(2))
        );
    });
}

#[test]
fn under_a_quota_that_is_used_up_a_turn_ends_and_none_begins() {
    in_a_namespace(&test_name!(), || {
        let Some(room) = limited() else { return };
        let sessions = Sessions::new();
        let (turn, before) = room.begin(&sessions, 10);
        room.use_up_but(0);
        turn.release_blocking().unwrap();
        assert_eq!(room.names(), ["s.jsonl"], "what takes up room can be removed");
        refused(sessions.turn(&room.session).try_acquire());
        refused(sessions.turn(room.dir.join("new.jsonl")).try_acquire());
        refused(sessions.post_blocking(&room.session, &line(10)));
        assert_eq!(
            (room.names(), fs::read(&room.session).unwrap()),
            (vec!["s.jsonl".to_owned()], before)
        );
        room.make_room();
        let turn = sessions.turn(&room.session).try_acquire().unwrap();
        turn.append_blocking(&line(10)).unwrap();
        turn.release_blocking().unwrap();
        assert_eq!(fs::read_to_string(&room.session).unwrap(), format!("{0}\n{0}\n", line(10)));
    });
}

#[test]
fn under_a_quota_that_is_used_up_a_repair_changes_nothing() {
    in_a_namespace(&test_name!(), || {
        let Some(room) = limited() else { return };
        let whole = format!("{}\n", line(QUOTA / 12));
        let damaged = format!("{whole}{{\"cut{whole}");
        fs::write(&room.session, &damaged).unwrap();
        let sessions = Sessions::new();
        let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
        for left in [QUOTA / 10, 0] {
            room.use_up_but(left);
            let error = turn.repair_blocking().unwrap_err().to_string();
            assert!(error.contains("s.jsonl") && error.contains("quota exceeded"), "{error}");
            assert!(fs::read(&room.session).unwrap() == damaged.as_bytes());
            assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"]);
        }
        room.make_room();
        assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"]);
        turn.repair_blocking().unwrap();
        assert!(fs::read(&room.session).unwrap() == whole.repeat(2).as_bytes());
        turn.restore_blocking().unwrap();
        assert!(fs::read(&room.session).unwrap() == damaged.as_bytes());
        turn.release_blocking().unwrap();
    });
}
