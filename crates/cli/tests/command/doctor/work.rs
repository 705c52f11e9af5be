//! Writers at work, ours and a foreign one, while `doctor --fix` runs again and again and `read
//! --follow` looks on.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use turnlock::{Durability, Sessions};
use turnlock_testing::alone::this_binary;
use turnlock_testing::{DEADLINE, Doomed, Running, ended, room, start_time_of, until};

use super::made::{doctor, found};
use crate::program::{held, turnlock};

const RECORDS: u64 = 150;

fn writer(name: &str, who: &str, session: &Path) -> Running {
    let mut command = this_binary(name);
    command.env("TURNLOCK_TEST_SESSION", session).env("TURNLOCK_TEST_WHO", who);
    Running::start(command)
}

fn asked() -> Option<(std::path::PathBuf, String)> {
    Some((
        std::env::var_os("TURNLOCK_TEST_SESSION")?.into(),
        std::env::var("TURNLOCK_TEST_WHO").ok()?,
    ))
}

/// Not a test: a process that takes turns of ours, with a post in between.
#[test]
fn ours() {
    let Some((session, who)) = asked() else { return };
    let sessions = Sessions::builder()
        .durability(Durability::Buffered)
        .acquire_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    for n in 0..RECORDS {
        let record = json!({"who": who, "n": n});
        if n % 3 == 0 {
            sessions.post_blocking(&session, &record).unwrap();
        } else {
            let turn = sessions.turn(&session).acquire_blocking().unwrap();
            turn.append_blocking(&record).unwrap();
            turn.release_blocking().unwrap();
        }
    }
}

/// Not a test: a program that knows `O_EXCL` and pids only. Every tenth record it "crashes" in the
/// middle of a line, and goes on behind it.
#[test]
fn foreign() {
    let Some((session, who)) = asked() else { return };
    let start = start_time_of(std::process::id());
    let lock = session.with_extension("jsonl.lock");
    for n in 0..RECORDS {
        let began = Instant::now();
        let mut file = loop {
            match OpenOptions::new().write(true).create_new(true).open(&lock) {
                Ok(file) => break file,
                Err(_) => assert!(began.elapsed() < 3 * DEADLINE, "the lock never came free"),
            }
            std::thread::sleep(Duration::from_micros(200));
        };
        let now = jiff::Timestamp::now();
        let record = json!({
            "pid": std::process::id(), "createdAt": format!("{now:.3}"), "starttime": start,
        });
        file.write_all(record.to_string().as_bytes()).unwrap();
        let mut log = OpenOptions::new().append(true).open(&session).unwrap();
        if n % 10 == 3 {
            log.write_all(b"{\"who\":\"nobody\",\"text\":\"cut he").unwrap();
        }
        log.write_all(format!("{}\n", json!({"who": who, "n": n})).as_bytes()).unwrap();
        fs::remove_file(&lock).unwrap();
        // Others are to have their chance.
        std::thread::sleep(Duration::from_micros(500));
    }
}

#[test]
fn nothing_is_lost_while_a_doctor_works() {
    let room = room();
    fs::write(&room.session, "{\"who\":\"first\",\"n\":0}\n").unwrap();
    let shown = room.dir.join("shown");
    let mut follow = turnlock(["read", "--follow"]);
    follow
        .arg(&room.session)
        .stdout(fs::File::create_new(&shown).unwrap())
        .stderr(Stdio::null())
        .stdin(Stdio::null());
    let mut follower = Doomed(follow.spawn().unwrap());

    let mut writers = vec![
        writer("doctor::work::ours", "a", &room.session),
        writer("doctor::work::ours", "b", &room.session),
        writer("doctor::work::foreign", "f", &room.session),
    ];
    let (mut runs, mut repairs) = (0, 0);
    let mut working = true;
    while working {
        working = writers.iter_mut().any(|writer| !writer.has_ended());
        let answer = ended(doctor(&["--fix"], &room.session));
        assert!(answer.err.is_empty(), "{answer:?}");
        runs += 1;
        repairs += answer.out.matches("[repaired").count();
    }
    for writer in writers {
        let ended = writer.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let last = ended(doctor(&["--fix"], &room.session));
    assert_eq!(last.code, Some(0), "{last:?}");
    repairs += last.out.matches("[repaired").count();
    eprintln!("{runs} runs, {repairs} repairs");
    assert!(repairs > 0);

    let written = HashMap::from([("first", 1), ("a", RECORDS), ("b", RECORDS), ("f", RECORDS)]);
    all_there(&room.text(), &written, true);
    let total: u64 = written.values().sum();
    until("the follower shows everything", || {
        fs::read_to_string(&shown).unwrap().lines().count() as u64 >= total
    });
    follower.signal(Signal::INT);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    all_there(&fs::read_to_string(&shown).unwrap(), &written, false);
}

/// Every record once, those of one writer in their order.
fn all_there(text: &str, written: &HashMap<&str, u64>, in_file: bool) {
    let mut next: HashMap<String, u64> = HashMap::new();
    for line in text.lines() {
        let record: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("in the file {in_file}: {line}"));
        let who = record["who"].as_str().unwrap();
        let n = next.entry(who.to_owned()).or_default();
        assert_eq!(record["n"].as_u64(), Some(*n), "in the file: {in_file}, {who}");
        *n += 1;
    }
    for (who, count) in written {
        assert_eq!(next.get(*who), Some(count), "in the file: {in_file}, {who}");
    }
}

#[test]
fn what_the_living_hold_is_left_alone() {
    let room = room();
    fs::write(&room.session, "{\"a\":1}\n{\"cut he{\"b\":2}\n").unwrap();
    let before = room.text();
    let holder = held(&room, &[]);
    let lock = fs::read(&room.lock).unwrap();
    let (answer, ended_as) = found(&["--fix"], &room.dir);
    assert_eq!(ended_as.code, Some(1));
    let findings = answer["findings"].as_array().unwrap();
    let about = |kind: &str| findings.iter().find(|f| f["problem"]["kind"] == kind).unwrap();
    assert_eq!(about("lock")["problem"]["state"], "held");
    assert_eq!(about("lock")["treatment"]["action"], "none", "a healthy lock is no trouble");
    let damaged = &about("damaged-transcript")["treatment"];
    assert_eq!(damaged["action"], "kept");
    assert_eq!(damaged["holder"]["label"], "the holder");
    assert_eq!(room.text(), before);
    assert_eq!(fs::read(&room.lock).unwrap(), lock);
    drop(holder);
}
