//! A number is no file. Ext4 gives the inode number of a removed file to the next one that is
//! created, so that a number says nothing about a file that nobody has open.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;
use turnlock::{Error, SessionChange};
use turnlock_testing::disk::{Disk, Kind};
use turnlock_testing::process::{signal, traced};
use turnlock_testing::strace::strace;
use turnlock_testing::{
    Sleeper, foreign_record, in_a_namespace, start_time_of, state_of, test_name, until,
};

use crate::child::{Answer, Ask, Child, How};
use crate::sessions::buffered;

/// A session on an ext4 disk of its own, where nobody else takes the numbers.
struct Ext4 {
    _disk: Disk,
    session: PathBuf,
    lock: PathBuf,
}

impl Ext4 {
    fn new() -> Option<Self> {
        let disk = Disk::new(Kind::Ext4)?;
        let session = disk.point().join("s.jsonl");
        let lock = disk.point().join("s.jsonl.lock");
        Some(Self { _disk: disk, session, lock })
    }

    fn child(&self) -> Child {
        Child::start(&self.session, How::default())
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.session).unwrap()
    }

    /// A foreign program removes the lock file, whose holder is dead, and puts its own there.
    fn take_over_by_a_foreign_program(&self) -> Sleeper {
        let foreign = Sleeper::new("node");
        let record = foreign_record(foreign.pid(), Some(start_time_of(foreign.pid())));
        fs::remove_file(&self.lock).unwrap();
        fs::write(&self.lock, record).unwrap();
        foreign
    }
}

fn number(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn the_disk_reuses_numbers_at_once() {
    in_a_namespace(&test_name!(), || {
        let Some(at) = Ext4::new() else { return };
        let of_new = || {
            fs::write(&at.session, "{}\n").unwrap();
            let new = number(&at.session);
            fs::remove_file(&at.session).unwrap();
            new
        };
        assert_eq!(of_new(), of_new(), "or the other tests here show nothing");
    });
}

#[test]
fn a_rewrite_keeps_posts_into_a_new_file_with_the_number_of_the_old_one() {
    in_a_namespace(&test_name!(), || {
        for reads in [true, false] {
            let Some(at) = Ext4::new() else { return };
            let turn = buffered().turn(&at.session).acquire_blocking().unwrap();
            turn.append_blocking(&json!({"turn": 1})).unwrap();
            turn.append_blocking(&json!({"turn": 2})).unwrap();
            fs::remove_file(&at.session).unwrap();
            if reads {
                assert!(matches!(turn.read(), Err(Error::NoSession { .. })));
            }
            let mut poster = at.child();
            for n in 1..=2 {
                let posted = poster.ask(&Ask::PostCreating(json!({"post": n})));
                assert!(matches!(posted, Answer::Appended { .. }), "{posted:?}");
            }
            let rewritten = turn.rewrite_blocking([json!({"summary": 1})]);
            let text = at.text();
            for n in 1..=2 {
                let post = format!("{{\"post\":{n}}}\n");
                assert!(text.contains(&post), "an acknowledged post is lost: {text}");
            }
            match rewritten {
                Ok(rewritten) => assert!(reads && rewritten.carried == 22),
                Err(Error::Changed { how: SessionChange::Replaced, .. }) => assert!(!reads),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// What starts a child that is stopped after its first sync.
fn stopped_after_sync() -> Option<Vec<String>> {
    strace(&["trace=fdatasync", "inject=fdatasync:signal=SIGSTOP:when=1"])
}

/// Somebody appends beside the turn of a holder, and is stopped in its sync. The holder dies, and a
/// foreign program takes over. What was appended is not acknowledged (I9).
fn is_overtaken(append: impl Fn(&mut Child, uuid::Uuid)) {
    let (Some(at), Some(through)) = (Ext4::new(), stopped_after_sync()) else { return };
    let mut holder = at.child();
    let owner = holder.acquire();
    holder.append(json!({"n": 1}));
    let mut other = Child::start(&at.session, How { through, sync: true, ..How::default() });
    let pid = traced(other.pid());
    append(&mut other, owner);
    until("it is stopped in its sync", || matches!(state_of(pid), Some('T' | 't')));
    until("its line is written", || at.text().lines().count() == 2);
    holder.kill();
    let _foreign = at.take_over_by_a_foreign_program();
    signal(pid, Signal::CONT);
    let answer = other.answer();
    assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "overtaken"), "{answer:?}");
}

#[test]
fn a_post_is_not_acknowledged_for_a_foreign_lock_file_with_the_number_of_the_old_one() {
    in_a_namespace(&test_name!(), || {
        is_overtaken(|poster, _| poster.tell(&Ask::Post(json!({"post": 1}))));
    });
}

#[test]
fn an_append_under_a_turn_is_not_acknowledged_for_a_foreign_lock_file_with_its_number() {
    in_a_namespace(&test_name!(), || {
        is_overtaken(|child, owner| child.tell(&Ask::AppendUnder(owner, json!({"child": 1}))));
    });
}
