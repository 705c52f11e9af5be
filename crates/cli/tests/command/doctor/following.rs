//! `turnlock read`, and what it follows.

use std::fs;
use std::io::Write;

use rustix::process::Signal;
use serde_json::{Value, json};
use turnlock::Sessions;
use turnlock_testing::{Room, Running, ended, eventually, room};

use crate::program::turnlock;

fn read(arguments: &[&str], room: &Room) -> std::process::Command {
    let mut command = turnlock(["read"]);
    command.args(arguments).arg(&room.session);
    command
}

#[test]
fn whole_lines_come_byte_for_byte_and_damage_on_standard_error() {
    let room = room();
    fs::write(&room.session, "{\"a\":1} \r\n{\"cut he{\"b\":\"ü\u{85}\"}\n{\"torn").unwrap();
    let answer = read(&[], &room).output().unwrap();
    assert_eq!(answer.status.code(), Some(0));
    assert_eq!(answer.stdout, "{\"a\":1} \r\n{\"b\":\"ü\u{85}\"}\n".as_bytes());
    let told = String::from_utf8(answer.stderr).unwrap();
    assert!(told.contains("line 2, bytes 10..") && told.contains("a torn tail"), "{told}");

    let documents: Vec<Value> = ended(read(&["--json"], &room))
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        documents[0],
        json!({
            "schema": "turnlock.read/1", "offsetBytes": 0, "lengthBytes": 9, "line": 1,
            "record": {"a": 1},
        })
    );
    assert_eq!(documents[1]["damage"]["kind"], "splice");
    assert_eq!(documents[2]["record"]["b"], "ü\u{85}");
    assert_eq!(documents[3]["damage"]["kind"], "torn-tail");

    assert_eq!(ended(read(&["--tail", "1"], &room)).out, "{\"b\":\"ü\u{85}\"}\n");
}

#[test]
fn a_session_is_followed_through_posts_a_repair_an_undo_and_a_rewrite() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let sessions = Sessions::new();
    let mut follow = Running::start(read(&["--follow", "--tail", "1"], &room));
    assert_eq!(follow.line(), "{\"n\":2}");
    sessions.post_blocking(&room.session, &json!({"n": 3})).unwrap();
    assert_eq!(follow.line(), "{\"n\":3}");

    room.scrawl("{\"cut he{\"n\":4}\n{\"half");
    assert_eq!(follow.line(), "{\"n\":4}");
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    turn.repair_blocking().unwrap();
    turn.append_blocking(&json!({"n": 5})).unwrap();
    assert_eq!(follow.line(), "{\"n\":5}", "what was shown before the repair is not shown again");

    turn.read().unwrap();
    turn.rewrite_blocking([json!({"summary": "of four"}), json!({"n": 5})]).unwrap();
    assert_eq!(follow.line(), "{\"summary\":\"of four\"}");
    sessions.post_blocking(&room.session, &json!({"n": 6})).unwrap();
    assert_eq!(follow.line(), "{\"n\":6}");

    // Cut back to the end of a line that is there, as if the last had never been; and the next is
    // just as long.
    let length = fs::metadata(&room.session).unwrap().len();
    fs::File::options().write(true).open(&room.session).unwrap().set_len(length - 8).unwrap();
    turn.append_blocking(&json!({"n": 7})).unwrap();
    assert_eq!(follow.line(), "{\"n\":7}");

    follow.signal(Signal::INT);
    let ended = follow.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, "", "nothing else was shown");
}

#[test]
fn a_follower_goes_on_when_an_append_is_taken_back_while_it_looks() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n").unwrap();
    for arguments in [&["--follow"][..], &["--follow", "--tail", "1"]] {
        let mut follow = Running::start(read(arguments, &room));
        assert_eq!(follow.line(), "{\"n\":1}");
        let mut file = fs::File::options().append(true).open(&room.session).unwrap();
        for _ in 0..300_000 {
            file.write_all(b"{\"torn\":\"").unwrap();
            file.set_len(8).unwrap();
        }
        room.scrawl("{\"n\":2}\n");
        assert_eq!(follow.line(), "{\"n\":2}");
        file.set_len(8).unwrap();
        follow.signal(Signal::INT);
        let ended = follow.end();
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{ended:?}");
    }
}

#[test]
fn lines_that_differ_behind_their_first_64_kib_are_different_lines() {
    let room = room();
    let long = |last: &str| format!("{{\"text\":\"{}{last}\"}}", "x".repeat(100_000));
    fs::write(&room.session, long("1") + "\n").unwrap();
    let mut follow = Running::start(read(&["--follow"], &room));
    assert_eq!(follow.line(), long("1"));
    let turn = Sessions::new().turn(&room.session).acquire_blocking().unwrap();
    turn.read().unwrap();
    turn.rewrite_blocking([json!({"text": format!("{}2", "x".repeat(100_000))})]).unwrap();
    assert_eq!(follow.line(), long("2"), "it was rewritten");
    fs::write(&room.session, long("3") + "\n").unwrap();
    assert_eq!(follow.line(), long("3"), "it was overwritten");
    follow.signal(Signal::INT);
    assert_eq!(follow.end().code, Some(0));
}

#[test]
fn an_equal_line_after_a_rewrite_is_a_new_line() {
    let room = room();
    let (sessions, beat) = (Sessions::new(), json!({"beat": 1}));
    let post = || sessions.post_blocking(&room.session, &beat).unwrap();
    fs::write(&room.session, "{\"beat\":1}\n{\"beat\":1}\n").unwrap();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    let mut follow = Running::start(read(&["--follow"], &room));
    let shows = |follow: &mut Running, expected: &[&str]| {
        for (n, expected) in expected.iter().enumerate() {
            assert_eq!(follow.line(), *expected, "line {n} of {expected:?}");
        }
    };
    let beat = "{\"beat\":1}";
    shows(&mut follow, &[beat, beat]);

    // One that was shown already is carried over.
    post();
    shows(&mut follow, &[beat]);
    follow.stop();
    turn.rewrite_blocking([json!({"summary": 1})]).unwrap();
    post();
    follow.signal(Signal::CONT);
    shows(&mut follow, &["{\"summary\":1}", beat]);

    // One that was not shown is carried over, through a file that the follower never sees.
    follow.stop();
    post();
    turn.rewrite_blocking([json!({"summary": 2})]).unwrap();
    post();
    turn.rewrite_blocking([json!({"summary": 3})]).unwrap();
    post();
    follow.signal(Signal::CONT);
    shows(&mut follow, &[beat, "{\"summary\":3}", beat, beat]);

    // A repair and its undo.
    follow.stop();
    room.scrawl("{\"torn");
    turn.repair_blocking().unwrap();
    post();
    follow.signal(Signal::CONT);
    shows(&mut follow, &[beat]);
    follow.stop();
    turn.read().unwrap();
    turn.rewrite_blocking([json!({"beat": 1})]).unwrap();
    post();
    room.scrawl("{\"torn");
    turn.repair_blocking().unwrap();
    turn.restore_blocking().unwrap();
    turn.append_blocking(&json!({"end": 1})).unwrap();
    follow.signal(Signal::CONT);
    shows(&mut follow, &[beat, "{\"end\":1}"]);

    follow.signal(Signal::INT);
    let ended = follow.end();
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{ended:?}");
}

/// What the program has read so far.
fn bytes_read(follow: &Running) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", follow.pid())).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).unwrap()
}

/// Adds a byte at a time, and waits until the program has seen it and waits for more. Returns how
/// much it read meanwhile.
fn read_in_rounds(follow: &Running, mut file: &fs::File) -> u64 {
    let waits = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", follow.pid())).unwrap();
        stat.rsplit_once(')').unwrap().1.starts_with(" S")
    };
    let before = bytes_read(follow);
    for _ in 0..20 {
        let before = bytes_read(follow);
        file.write_all(b"y").unwrap();
        eventually("another round", || (bytes_read(follow) > before && waits()).then_some(()));
    }
    bytes_read(follow) - before
}

#[test]
fn an_unfinished_line_of_4_gib_is_not_read_again_and_again() {
    const HOLE: u64 = 4 << 30;
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n{\"text\":\"").unwrap();
    let file = fs::OpenOptions::new().append(true).open(&room.session).unwrap();
    file.set_len(HOLE).unwrap();
    let mut follow = Running::start(read(&["--follow"], &room));
    assert_eq!(follow.line(), "{\"n\":1}");
    let read = read_in_rounds(&follow, &file);
    // Two steps of the search have data in them, besides what was added.
    assert!(read < 64 << 20, "{read} bytes in 20 rounds");
    assert!(bytes_read(&follow) < 64 << 20, "the hole was read");
    follow.signal(Signal::INT);
    assert_eq!(follow.end().code, Some(0));
}

#[test]
fn a_long_last_line_is_not_read_again_in_every_round() {
    const LONG: usize = 64 << 20;
    let room = room();
    fs::write(&room.session, format!("{{\"text\":\"{}\"}}\n", "x".repeat(LONG))).unwrap();
    let file = fs::OpenOptions::new().append(true).open(&room.session).unwrap();
    let mut follow = Running::start(read(&["--follow"], &room));
    assert_eq!(follow.line().len(), LONG + 11);
    let read = read_in_rounds(&follow, &file);
    assert!(read < 4 * LONG as u64, "{read} bytes in 20 rounds");
    follow.signal(Signal::INT);
    assert_eq!(follow.end().code, Some(0));
}

#[test]
fn a_line_in_an_unfinished_one_that_was_cut_back_is_found() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n").unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&room.session).unwrap();
    let mut follow = Running::start(read(&["--follow"], &room));
    assert_eq!(follow.line(), "{\"n\":1}");
    file.write_all(&[b'x'; 1 << 20]).unwrap();
    follow.until_it_says("is not finished");
    follow.stop();
    file.set_len(8).unwrap();
    let text = format!("{{\"n\":2}}\n{}", "x".repeat(1 << 20));
    file.write_all(text.as_bytes()).unwrap();
    follow.signal(Signal::CONT);
    assert_eq!(follow.line(), "{\"n\":2}");
    follow.signal(Signal::INT);
    assert_eq!(follow.end().code, Some(0));
}

#[test]
fn the_memory_of_a_follower_is_bounded() {
    const LINES: u32 = 700_000;
    let room = room();
    let lines =
        |from: u32| (from..from + LINES).fold(String::new(), |text, n| text + &format!("{n}\n"));
    fs::write(&room.session, lines(1_000_000)).unwrap();
    let mut follow = Running::start(read(&["--follow"], &room));
    let last = |from: u32| (from + LINES - 1).to_string();
    while follow.line() != last(1_000_000) {}
    // Every line is kept, which another program has written, and as many are new.
    let new = room.dir.join("new");
    fs::write(&new, lines(1_000_000) + &lines(2_000_000)).unwrap();
    fs::rename(&new, &room.session).unwrap();
    assert_eq!(follow.line(), "2000000");
    while follow.line() != last(2_000_000) {}
    let status = fs::read_to_string(format!("/proc/{}/status", follow.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(peak < 32 << 10, "{peak} KiB");
    follow.signal(Signal::INT);
    assert_eq!(follow.end().code, Some(0));
}

#[test]
fn an_unfinished_line_is_not_read_again_and_again() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n{\"text\":\"").unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&room.session).unwrap();
    for _ in 0..64 {
        file.write_all(&[b'x'; 1024 * 1024]).unwrap();
    }
    let mut follow = Running::start(read(&["--follow"], &room));
    assert_eq!(follow.line(), "{\"n\":1}");
    eventually("the line to be searched", || (bytes_read(&follow) > 64 << 20).then_some(()));
    let read = read_in_rounds(&follow, &file);
    // The first search may still have gone on. Read anew in each round, it would be 20 times that.
    assert!(read < 128 << 20, "{read} more bytes");
    file.write_all(b"\"}\n{\"n\":2}\n").unwrap();
    assert_eq!(follow.line().len(), 64 * 1024 * 1024 + 20 + 11);
    assert_eq!(follow.line(), "{\"n\":2}");
    follow.signal(Signal::INT);
    assert_eq!(follow.end().code, Some(0));
}

#[test]
fn a_follower_ends_when_nobody_reads_any_more() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n").unwrap();
    let mut command = read(&["--follow"], &room);
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let status = eventually("the follower to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_is_no_session_is_refused() {
    let room = room();
    assert_eq!(ended(read(&[], &room)).code, Some(1));
    std::os::unix::fs::symlink("/etc/passwd", &room.session).unwrap();
    let answer = ended(read(&[], &room));
    assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
    assert!(answer.err.contains("symbolic link"), "{}", answer.err);
}
