//! A full disk, a file size limit, no descriptors: clear errors, the file as before, and everything
//! works again afterwards.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use turnlock_testing::process::{is_allowed, signal, traced};
use turnlock_testing::strace::{strace, strace_at};
use turnlock_testing::{Room, names, room, state_of, until};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

const DISK: usize = 256 * 1024;

/// A child that sees a small disk at the room's directory, in a mount namespace that goes with it;
/// `None` where that is not allowed.
fn on_a_small_disk(room: &Room, portable: bool) -> Option<(Child, PathBuf)> {
    let script =
        format!("mount -t tmpfs -o size={DISK} small '{}' && exec \"$@\"", room.dir.display());
    let through = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(String::from).to_vec();
    if !is_allowed(&through) {
        eprintln!("skipped: no right to mount a small disk");
        return None;
    }
    let child = Child::start(&room.session, How { through, portable, ..How::default() });
    let seen = PathBuf::from(format!("/proc/{}/root{}", child.pid(), room.dir.display()));
    Some((child, seen))
}

/// A line of about this many bytes.
fn line(bytes: usize) -> Value {
    json!({"content": "x".repeat(bytes)})
}

#[test]
fn on_a_full_disk_an_append_leaves_the_file_as_it_was() {
    for portable in [false, true] {
        let room = room();
        let Some((mut writer, seen)) = on_a_small_disk(&room, portable) else { return };
        writer.acquire();
        writer.append(json!({"n": 1}));
        fs::write(seen.join("filler"), vec![0; DISK / 2]).unwrap();
        let before = fs::read(seen.join("s.jsonl")).unwrap();
        // There is room for a part of it.
        for ask in [Ask::Append(line(DISK)), Ask::Post(line(DISK))] {
            let (kind, text) = writer.refused(&ask);
            assert_eq!(kind, "io");
            assert!(
                text.contains("No space left") && text.contains("make room and try again"),
                "{text}"
            );
            assert_eq!(fs::read(seen.join("s.jsonl")).unwrap(), before);
        }
        writer.append(line(1000));
        fs::remove_file(seen.join("filler")).unwrap();
        writer.append(line(DISK / 2));
        writer.release();
        let lines = fs::read_to_string(seen.join("s.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), 3);
        assert!(lines.ends_with('\n'));
        until("the lock file is gone", || names(&seen) == ["s.jsonl"]);
    }
}

#[test]
fn on_a_full_disk_no_turn_begins_and_nothing_stays() {
    for portable in [false, true] {
        let room = room();
        let Some((mut writer, seen)) = on_a_small_disk(&room, portable) else { return };
        fs::write(seen.join("s.jsonl"), "{\"n\":1}\n").unwrap();
        // A little more than there is room for.
        assert!(fs::write(seen.join("filler"), vec![0; DISK]).is_err());
        let (kind, text) = writer.refused(&Ask::Acquire(1000));
        assert_eq!(kind, "io");
        assert!(text.contains("No space left"), "{text}");
        assert_eq!(names(&seen), ["filler", "s.jsonl"]);
        fs::remove_file(seen.join("filler")).unwrap();
        writer.acquire();
        writer.append(json!({"n": 2}));
        writer.release();
        assert_eq!(fs::read_to_string(seen.join("s.jsonl")).unwrap(), "{\"n\":1}\n{\"n\":2}\n");
    }
}

#[test]
fn on_a_full_disk_a_repair_changes_nothing_and_leaves_nothing() {
    for portable in [false, true] {
        let room = room();
        let Some((mut writer, seen)) = on_a_small_disk(&room, portable) else { return };
        let quarter = DISK / 4;
        let damaged = format!("{}\ncut {}\n", line(quarter), "x".repeat(quarter));
        fs::write(seen.join("s.jsonl"), &damaged).unwrap();
        writer.acquire();
        // What was there before stays, too.
        for before in [None, Some("{\"kept\":1}\n")] {
            if let Some(before) = before {
                fs::write(seen.join("s.jsonl.damaged"), before).unwrap();
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(seen.join("s.jsonl.damaged"), private).unwrap();
            }
            for _ in 0..3 {
                let (kind, text) = writer.refused(&Ask::Repair);
                assert_eq!(kind, "io");
                assert!(text.contains("No space left"), "{text}");
                assert_eq!(fs::read_to_string(seen.join("s.jsonl")).unwrap(), damaged);
                let left = fs::read_to_string(seen.join("s.jsonl.damaged")).ok();
                assert_eq!(left.as_deref(), before);
            }
            let there = names(&seen).len();
            assert_eq!(there, 2 + usize::from(before.is_some()), "{:?}", names(&seen));
            // Other sessions have the room that there was.
            fs::write(seen.join("other"), vec![0; DISK / 3]).unwrap();
            fs::remove_file(seen.join("other")).unwrap();
        }
        writer.release();
    }
}

fn limit(child: &Child, resource: Resource, current: Option<u64>) {
    let pid = Some(Pid::from_raw(child.pid() as i32).unwrap());
    let maximum = rustix::process::getrlimit(resource).maximum;
    prlimit(pid, resource, Rlimit { current, maximum }).unwrap();
}

#[test]
fn at_the_file_size_limit_an_append_leaves_the_file_as_it_was() {
    let room = room();
    let mut writer = child(&room);
    writer.acquire();
    writer.append(line(1000));
    let before = fs::read(&room.session).unwrap();
    limit(&writer, Resource::Fsize, Some(5000));
    let (kind, text) = writer.refused(&Ask::Append(line(10_000)));
    assert_eq!(kind, "io");
    assert!(text.contains("raise the file size limit"), "{text}");
    assert_eq!(fs::read(&room.session).unwrap(), before);
    writer.append(line(1000));
    limit(&writer, Resource::Fsize, None);
    writer.append(line(10_000));
    writer.release();
    assert_eq!(room.lines().len(), 3);
    room.expect_clean();
}

#[test]
fn at_the_file_size_limit_a_rewrite_and_a_repair_change_nothing() {
    let room = room();
    let small = 2000;
    // Once the repaired file is too long, once the quarantine.
    for damaged in [format!("cut\n{}\n", line(10_000)), "cut\n{}\n".repeat(50)] {
        fs::write(&room.session, &damaged).unwrap();
        let mut writer = child(&room);
        writer.acquire();
        limit(&writer, Resource::Fsize, Some(small));
        for ask in [Ask::Rewrite(line(10_000)), Ask::Repair] {
            let (kind, text) = writer.refused(&ask);
            assert_eq!(kind, "io");
            assert!(text.contains("raise the file size limit"), "{text}");
            assert_eq!(fs::read_to_string(&room.session).unwrap(), damaged);
            assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"]);
        }
        limit(&writer, Resource::Fsize, None);
        assert_eq!(writer.ask(&Ask::Repair), Answer::Done);
        assert_eq!(writer.ask(&Ask::Rewrite(line(10_000))), Answer::Done);
        writer.release();
        assert_eq!(room.lines().len(), 1);
        fs::remove_file(room.dir.join("s.jsonl.damaged")).unwrap();
        room.expect_clean();
    }
}

fn descriptors(child: &mut Child) -> usize {
    match child.ask(&Ask::Census) {
        Answer::Census { descriptors, .. } => descriptors,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_descriptors_there_is_a_clear_error_and_nothing_leaks() {
    for portable in [false, true] {
        let room = room();
        let mut writer = Child::start(&room.session, How { portable, ..How::default() });
        writer.ask(&Ask::Turns { writer: 0, count: 1 });
        room.expect_clean();
        let before = descriptors(&mut writer);
        let mut refused = 0;
        for most in before - 3..before + 6 {
            limit(&writer, Resource::Nofile, Some(most as u64));
            for ask in [Ask::Turns { writer: 1, count: 1 }, Ask::Post(json!({"n": 1}))] {
                match writer.ask(&ask) {
                    Answer::Failed(_, text) => {
                        assert!(text.contains("raise the descriptor limit"), "{text}");
                        refused += 1;
                    }
                    Answer::Done | Answer::Appended { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            limit(&writer, Resource::Nofile, Some(1000));
            // The keeper closes what is left to it.
            until("all that was opened is closed", || descriptors(&mut writer) <= before);
        }
        assert!(refused > 0);
        assert_eq!(writer.ask(&Ask::Turns { writer: 2, count: 1 }), Answer::Done);
        room.lines();
        room.expect_clean();
    }
}

/// A child whose system calls fail as told; `None` without `strace`.
fn with_failing(calls: &str, room: &Room) -> Option<Child> {
    let through = strace(&[calls])?;
    Some(Child::start(&room.session, How { through, ..How::default() }))
}

#[test]
fn a_rewrite_whose_name_could_not_be_synced_can_be_done_again() {
    let room = room();
    // Of the three syncs of a rewrite the last is that of the directory.
    let Some(mut child) = with_failing("inject=fsync:error=EIO:when=3", &room) else { return };
    child.acquire();
    child.append(json!({"n": 1}));
    let (kind, text) = child.refused(&Ask::Rewrite(json!({"n": 2})));
    assert_eq!(kind, "unsynced", "{text}");
    assert_eq!(room.text(), "{\"n\":2}\n");
    assert_eq!(child.ask(&Ask::Rewrite(json!({"n": 3}))), Answer::Done);
    assert_eq!(room.text(), "{\"n\":3}\n");
    child.release();
    room.expect_clean();
}

#[test]
fn posts_are_told_of_once_although_a_repair_failed_in_between() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n{\"cut\n").unwrap();
    let Some(mut child) = with_failing("inject=rename,renameat:error=EIO:when=1", &room) else {
        return;
    };
    child.acquire();
    buffered().post_blocking(&room.session, &json!({"n": 2})).unwrap();
    child.refused(&Ask::Repair);
    let answer = child.ask(&Ask::Append(json!({"n": 3})));
    assert!(matches!(answer, Answer::Appended { intervening: 8, .. }), "{answer:?}");
    child.release();
}

/// The signal that comes with the limit kills a process that has no handler for it. The library
/// writes its lock files too, and none of its writes may raise it.
#[test]
fn at_the_file_size_limit_no_lock_file_is_written_and_nobody_is_killed() {
    for (portable, bytes) in [(false, 0), (true, 0), (false, 100), (true, 100)] {
        let room = room();
        fs::write(&room.session, "{}\n").unwrap();
        let mut writer = Child::start(&room.session, How { portable, ..How::default() });
        limit(&writer, Resource::Fsize, Some(bytes));
        // There is no lock file, …
        for ask in [Ask::Acquire(1000), Ask::Post(json!({"n": 1}))] {
            let (kind, text) = writer.refused(&ask);
            assert!(kind == "io" && text.contains("File too large"), "{text}");
        }
        assert_eq!(room.names(), ["s.jsonl"]);
        // … or that of a dead holder is to be taken over.
        let mut dead = child(&room);
        dead.acquire();
        dead.kill();
        let record = fs::read(&room.lock).unwrap();
        let (kind, text) = writer.refused(&Ask::Acquire(1000));
        assert!(kind == "io" && text.contains("File too large"), "{text}");
        assert_eq!(fs::read(&room.lock).unwrap(), record, "it is as it was");
        limit(&writer, Resource::Fsize, None);
        writer.acquire();
        writer.append(json!({"n": 1}));
        // A turn ends under any limit, and hands over to a waiter of another process.
        limit(&writer, Resource::Fsize, Some(0));
        let mut waiter = child(&room);
        waiter.tell(&Ask::Acquire(60_000));
        room.until_waited_for(1);
        writer.release();
        waiter.answered_held();
        waiter.release();
        assert_eq!(room.lines(), [json!({}), json!({"n": 1})]);
        room.expect_clean();
    }
}

/// A turn that made the session file spoils its record before it removes both (I14).
#[test]
fn at_the_file_size_limit_an_unused_turn_ends() {
    let room = room();
    let mut writer = child(&room);
    writer.acquire();
    limit(&writer, Resource::Fsize, Some(0));
    writer.release();
    writer.kill();
    // The record could not be spoiled, so that the session file stayed.
    buffered().turn(&room.session).acquire_blocking().unwrap().release_blocking().unwrap();
    room.expect_clean();
}

/// Another program makes the file longer than the limit between the look at it and the write.
#[test]
fn a_write_that_begins_beyond_the_file_size_limit_kills_nobody() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n").unwrap();
    let options = ["trace=pread64", "inject=pread64:signal=SIGSTOP:when=1"];
    let Some(through) = strace_at(&room.session, &options) else { return };
    let mut poster = Child::start(&room.session, How { through, ..How::default() });
    let pid = traced(poster.pid());
    let (id, maximum) =
        (Pid::from_raw(pid as i32), rustix::process::getrlimit(Resource::Fsize).maximum);
    prlimit(id, Resource::Fsize, Rlimit { current: Some(5000), maximum }).unwrap();
    poster.tell(&Ask::Post(json!({"n": 2})));
    until("it is stopped", || matches!(state_of(pid), Some('T' | 't')));
    room.scrawl("{}\n".repeat(5000));
    let before = room.text();
    signal(pid, Signal::CONT);
    let (kind, text) = match poster.answer() {
        Answer::Failed(kind, text) => (kind, text),
        other => panic!("{other:?}"),
    };
    assert!(kind == "io" && text.contains("raise the file size limit"), "{text}");
    assert_eq!(room.text(), before);
    prlimit(id, Resource::Fsize, Rlimit { current: None, maximum }).unwrap();
    assert!(matches!(poster.ask(&Ask::Post(json!({"n": 3}))), Answer::Appended { .. }));
}
