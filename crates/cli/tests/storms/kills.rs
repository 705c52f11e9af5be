//! SIGKILL at any moment of `doctor --fix`, of `doctor --undo` and of a rewrite, beside writers
//! that are killed too: what was acknowledged is there, whole and once, and an undo gives back
//! every byte.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnlock::{Error, Item, Turn};
use turnlock_testing::alone::this_binary;
use turnlock_testing::child::{Child, obey};
use turnlock_testing::{Room, Running, ended, room, until};

use crate::damage::damage;
use crate::program::turnlock;
use crate::storm::{Dice, Storm, buffered};

const SESSION: &str = "TURNLOCK_STORM_SESSION";
/// A file that gets a byte for each rewrite that came to its end.
const TALLY: &str = "TURNLOCK_STORM_TALLY";
/// The number of posters; one more writer takes turns.
const POSTERS: usize = 2;
/// The number of kills beside the writers in one room, and of those that follow without them.
const KILLS: (usize, usize) = (12, 4);

/// What a writer is asked to write.
#[derive(Serialize, Deserialize)]
struct Line {
    writer: usize,
    n: usize,
    text: String,
}

impl Line {
    fn new(writer: usize, n: usize) -> Self {
        Self { writer, n, text: format!("{writer}.{n} ").repeat(1 + (n * 7 + writer) % 40) }
    }
}

/// Not a test: a process that posts, or appends in turns of its own.
#[test]
fn writer() {
    let Some(session) = std::env::var_os(SESSION) else { return };
    let sessions = buffered();
    obey(|line: Line| -> Result<(), String> {
        let written = if line.writer < POSTERS {
            sessions.post_blocking(&session, &line).map(drop)
        } else {
            sessions.turn(&session).acquire_blocking().and_then(|turn| {
                turn.append_blocking(&line)?;
                // The line is acknowledged by now.
                let _ = turn.release_blocking();
                Ok(())
            })
        };
        written.map_err(|error| error.to_string())
    });
}

/// Not a test: a process that repairs and rewrites the session again and again, with all its lines.
#[test]
fn rewriter() {
    let Some(session) = std::env::var_os(SESSION) else { return };
    let mut tally = File::options().append(true).open(std::env::var_os(TALLY).unwrap()).unwrap();
    let sessions = buffered();
    loop {
        let mut turn = sessions.turn(&session).acquire_blocking().unwrap();
        match repair_and_rewrite(&mut turn) {
            Ok(true) => tally.write_all(b".").unwrap(),
            // The posters had the data lock: nothing was done, and the next turn tries again.
            Ok(false) | Err(Error::DataLockBusy { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        turn.release_blocking().unwrap();
    }
}

/// True if the session was rewritten. Damage that comes after the repair is left to the next one.
fn repair_and_rewrite(turn: &mut Turn) -> Result<bool, Error> {
    turn.repair_blocking()?;
    let transcript = turn.read()?;
    let line = |item| match item {
        Ok(Item::Line(line)) => serde_json::from_slice(&line.bytes?).ok(),
        _ => None,
    };
    let Some(lines) = transcript.lines().map(line).collect::<Option<Vec<Value>>>() else {
        return Ok(false);
    };
    turn.rewrite_blocking(lines).map(|_| true)
}

fn in_role(role: &str, room: &Room) -> Command {
    let mut command = this_binary(&format!("kills::{role}"));
    command.env(SESSION, &room.session);
    command
}

/// What became of a writer's lines: true if acknowledged, false if its process was killed first.
type Written = BTreeMap<usize, bool>;

/// Writes until told to stop. Every so often the process that writes is killed.
fn write(writer: usize, room: &Room, mut dice: Dice, stop: &AtomicBool) -> Written {
    let mut written = Written::new();
    let start = || Child::<Line, Result<(), String>>::start(in_role("writer", room));
    let mut child = start();
    while !stop.load(Ordering::Relaxed) {
        let n = written.len();
        if dice.below(100) == 0 {
            child.tell(&Line::new(writer, n));
            spin(Duration::from_micros(dice.below(2000) as u64));
            child.kill();
            written.insert(n, false);
            child = start();
        } else {
            assert_eq!(child.ask(&Line::new(writer, n)), Ok(()), "writer {writer}, line {n}");
            written.insert(n, true);
        }
    }
    child.end();
    written
}

/// Waits without sleeping: a timer is too coarse for this.
fn spin(span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Starts a process and kills it within `span`, unless it ends before. True if it was killed.
fn killed_within(span: Duration, mut command: Command, dice: &mut Dice) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let end = Instant::now() + span.mul_f64(dice.below(1000) as f64 / 1000.0);
    while Instant::now() < end && process.try_wait().unwrap().is_none() {
        std::hint::spin_loop();
    }
    let lived = process.try_wait().unwrap().is_none();
    let _ = process.kill();
    process.wait().unwrap();
    lived
}

fn command(option: &str, path: &Path) -> Command {
    let mut command = turnlock(["doctor", option]);
    command.arg(path);
    command
}

fn fix(room: &Room) -> Command {
    command("--fix", &room.dir)
}

fn undo(room: &Room) -> Command {
    command("--undo", &room.session)
}

/// How long a doctor takes that nobody kills, with some to spare.
fn span_of_a_doctor(room: &Room) -> Duration {
    let began = Instant::now();
    ended(fix(room));
    began.elapsed().mul_f64(1.2)
}

#[derive(Debug, Default)]
struct Count {
    fixes: usize,
    undos: usize,
    rewriters: usize,
    rewritten: u64,
    writers: usize,
    acknowledged: usize,
    undone: usize,
}

/// Starts a rewriter and kills it in the midst of its work.
fn kill_rewriting(room: &Room, tally: &File, span: Duration, dice: &mut Dice) {
    let rewritten = || tally.metadata().unwrap().len();
    let before = rewritten();
    let mut command = in_role("rewriter", room);
    command.env(TALLY, format!("/proc/{}/fd/{}", std::process::id(), tally.as_raw_fd()));
    let mut rewriter = Running::start(command);
    until("it rewrites", || rewritten() > before || rewriter.has_ended());
    spin(span.mul_f64(dice.below(1000) as f64 / 1000.0));
    if rewriter.has_ended() {
        panic!("the rewriter has failed: {:?}", rewriter.end());
    }
    rewriter.kill();
}

/// Kills beside the writers. Afterwards every acknowledged line is there.
fn beside_writers(room: &Room, storm: &Storm, round: u64, count: &mut Count) {
    let mut dice = storm.dice(round);
    let span = span_of_a_doctor(room);
    let tally = tempfile::tempfile().unwrap();
    let stop = AtomicBool::new(false);
    let written: Vec<Written> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..=POSTERS)
            .map(|writer| {
                let dice = storm.dice((round << 8) + 1 + writer as u64);
                let stop = &stop;
                scope.spawn(move || write(writer, room, dice, stop))
            })
            .collect();
        // It is let go in any case, or the scope would wait for the writers for ever.
        let killing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..KILLS.0 {
                room.scrawl(damage(&mut dice));
                match dice.below(3) {
                    0 => count.fixes += usize::from(killed_within(span, fix(room), &mut dice)),
                    1 => {
                        ended(fix(room));
                        count.undos += usize::from(killed_within(span, undo(room), &mut dice));
                    }
                    _ => {
                        kill_rewriting(room, &tally, span, &mut dice);
                        count.rewriters += 1;
                    }
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let written = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        killing.unwrap();
        written
    });
    count.rewritten += tally.metadata().unwrap().len();
    count.writers += written.iter().flat_map(BTreeMap::values).filter(|acked| !**acked).count();
    count.acknowledged += written.iter().flat_map(BTreeMap::values).filter(|acked| **acked).count();

    let answer = ended(fix(room));
    assert_eq!(answer.code, Some(0), "{answer:?}");
    expect_cleared_up(room);
    check(&room.lines(), &written);
}

fn check(lines: &[Value], written: &[Written]) {
    let mut next = vec![0; written.len()];
    for line in lines {
        let found: Line = serde_json::from_value(line.clone())
            .unwrap_or_else(|error| panic!("nobody wrote {line}: {error}"));
        let (writer, n) = (found.writer, found.n);
        assert_eq!(*line, json!(Line::new(writer, n)), "not as it was written");
        assert!(written[writer].contains_key(&n), "nobody wrote {line}");
        assert!(next[writer] <= n, "writer {writer}, line {n}: doubled, or out of order");
        let lost = (next[writer]..n).find(|n| written[writer][n]);
        assert_eq!(lost, None, "writer {writer}: an acknowledged line is lost");
        next[writer] = n + 1;
    }
    for (writer, written) in written.iter().enumerate() {
        let lost = written.range(next[writer]..).find(|(_, acknowledged)| **acknowledged);
        assert_eq!(lost, None, "writer {writer}: an acknowledged line is lost");
    }
}

fn expect_cleared_up(room: &Room) {
    let names = room.names();
    let known = names.iter().all(|name| ["s.jsonl", "s.jsonl.damaged"].contains(&name.as_str()));
    assert!(known, "the doctor leaves {names:?}");
}

/// Kills of `--fix` and of `--undo` without writers: the old file or the new one each time, and the
/// old one in the end.
fn there_and_back(room: &Room, dice: &mut Dice, count: &mut Count) {
    // An undo would go on to the repairs beside the writers.
    let _ = fs::remove_file(room.dir.join("s.jsonl.damaged"));
    room.scrawl(damage(dice));
    let before = fs::read(&room.session).unwrap();
    let span = span_of_a_doctor(room);
    let after = fs::read(&room.session).unwrap();
    assert!(after != before, "nothing was repaired");
    assert_eq!(ended(undo(room)).code, Some(0));
    assert!(fs::read(&room.session).unwrap() == before, "undone, but not as before");
    for _ in 0..KILLS.1 {
        for (command, repairs) in [(fix(room), true), (undo(room), false)] {
            let killed = usize::from(killed_within(span, command, dice));
            *(if repairs { &mut count.fixes } else { &mut count.undos }) += killed;
            let left = fs::read(&room.session).unwrap();
            assert!(left == before || left == after, "neither the old file nor the new one");
        }
        let answer = ended(fix(room));
        assert_eq!(answer.code, Some(0), "{answer:?}");
        assert!(fs::read(&room.session).unwrap() == after);
        expect_cleared_up(room);
        let answer = ended(undo(room));
        assert_eq!(answer.code, Some(0), "{answer:?}");
        assert!(fs::read(&room.session).unwrap() == before, "undone, but not as before");
        count.undone += 1;
    }
    assert_eq!(ended(fix(room)).code, Some(0));
}

#[test]
fn no_acknowledged_line_is_lost_and_an_undo_gives_back_every_byte() {
    let storm = Storm::begin();
    let mut count = Count::default();
    for round in 0_u64.. {
        if !storm.goes_on() {
            break;
        }
        let room = room();
        fs::write(&room.session, "").unwrap();
        beside_writers(&room, &storm, round, &mut count);
        there_and_back(&room, &mut storm.dice((round << 8) + 255), &mut count);
    }
    eprintln!("kills beside writers: {count:?}");
    assert!(count.acknowledged > 0 && count.undone > 0);
}
