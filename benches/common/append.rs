//! Appends and posts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use turnlock::Sessions;

use super::rounds::{Outcome, Rounds};
use super::show::{Table, rate, time};
use super::waits::Waits;
use super::{buffered, durable, either, floor, known_session, message, tasks};

pub const SMALL: usize = 400;
pub const LARGE: usize = 300 * 1024;

/// A line that is already JSON, so that serialization is not measured.
pub fn line(bytes: usize) -> Box<RawValue> {
    serde_json::value::to_raw_value(&message(bytes)).unwrap()
}

fn bytes_of(line: &RawValue) -> Vec<u8> {
    format!("{}\n", line.get()).into_bytes()
}

/// Measures appends of this size to one session, and their floors. Returns (buffered, durable).
pub fn one_session(dir: &Path, bytes: usize) -> (Vec<Outcome>, Vec<Outcome>) {
    let line = line(bytes);
    let raw = bytes_of(&line);
    let runtime = tasks::runtime();
    let new = |name: &str| dir.join(format!("{name}-{bytes}.jsonl"));
    let (bare, locked, synced) = (
        floor::Append::to(&new("bare")),
        floor::Append::to(&new("locked")),
        floor::Append::to(&new("synced")),
    );
    let turn = |sessions: Sessions, name| sessions.turn(new(name)).acquire_blocking().unwrap();
    let (thread, task) = (turn(buffered(), "thread"), turn(buffered(), "task"));
    let (thread_synced, task_synced) =
        (turn(durable(), "thread-synced"), turn(durable(), "task-synced"));
    let (few, many) = if bytes > 100_000 { (2, 4) } else { (8, 500) };
    let of_buffered = Rounds::new(format!("append, {bytes} bytes, buffered"))
        .way("floor: write under flock, two stats", || locked.locked(&raw))
        .way("floor: write", || bare.bare(&raw))
        .way("turnlock, blocking", || {
            thread.append_blocking(&*line).unwrap();
        })
        .way("turnlock, async", || {
            runtime.block_on(task.append(&*line)).unwrap();
        })
        .run(either(40, 1), either(many, 1));
    let of_durable = Rounds::new(format!("append, {bytes} bytes, durable"))
        .way("floor: write, fdatasync", || synced.synced(&raw))
        .way("turnlock, blocking", || {
            thread_synced.append_blocking(&*line).unwrap();
        })
        .way("turnlock, async", || {
            runtime.block_on(task_synced.append(&*line)).unwrap();
        })
        .run(either(40, 1), either(few, 1));
    (of_buffered, of_durable)
}

/// The number of sessions that are appended to concurrently.
pub const AT_ONCE: usize = 64;

/// Appends single lines to many sessions concurrently, each in a turn that a task of its own holds.
/// Returns lines per second.
pub fn many_sessions(
    runtime: &Runtime,
    sessions: &Sessions,
    dir: &Path,
    bytes: usize,
    each: u32,
) -> f64 {
    let mut turns: Vec<_> = (0..AT_ONCE)
        .map(|n| {
            sessions
                .turn(known_session(dir, &format!("many-{n}.jsonl")))
                .acquire_blocking()
                .unwrap()
        })
        .collect();
    // The first synced append to a file also syncs its directory. Later ones sync only the file.
    for turn in &mut turns {
        turn.append_blocking(&*line(bytes)).unwrap();
    }
    runtime.block_on(async {
        let began = Instant::now();
        let tasks: Vec<_> = turns
            .into_iter()
            .map(|turn| {
                let line = line(bytes);
                tokio::spawn(async move {
                    for _ in 0..each {
                        turn.append(&*line).await.unwrap();
                    }
                    turn
                })
            })
            .collect();
        let mut turns = Vec::new();
        for task in tasks {
            turns.push(task.await.unwrap());
        }
        let time = began.elapsed();
        for turn in turns {
            turn.release().await.unwrap();
        }
        (AT_ONCE as u32 * each) as f64 / time.as_secs_f64()
    })
}

/// The floor of [`many_sessions`]: the same number of threads that write and sync.
pub fn many_files(dir: &Path, bytes: usize, each: u32) -> f64 {
    let raw = bytes_of(&line(bytes));
    let files: Vec<_> =
        (0..AT_ONCE).map(|n| floor::Append::to(&dir.join(format!("file-{n}")))).collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| (0..each).for_each(|_| file.synced(&raw)));
        }
    });
    (AT_ONCE as u32 * each) as f64 / began.elapsed().as_secs_f64()
}

/// Measures posts of one thread during a turn, while `others` more threads post all the time.
pub fn posts(sessions: &Sessions, session: PathBuf, others: usize, count: usize) -> Waits {
    let turn = sessions.turn(&session).acquire_blocking().unwrap();
    let line = line(400);
    let over = AtomicBool::new(false);
    let waits = thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    sessions.post_blocking(&session, &*line).unwrap();
                }
            });
        }
        let mut waits = Waits::default();
        for _ in 0..count {
            let began = Instant::now();
            sessions.post_blocking(&session, &*line).unwrap();
            waits.record(began.elapsed());
            if others == 0 {
                continue;
            }
            // This thread posts now and then. It does not compete for throughput.
            thread::sleep(Duration::from_micros(200));
        }
        over.store(true, Ordering::Relaxed);
        waits
    });
    turn.release_blocking().unwrap();
    waits
}

/// Shows appends to 64 sessions concurrently, and their floor.
pub fn show_many(dir: &Path) {
    let runtime = tasks::runtime();
    let mut table = Table::new(
        "64 sessions at once, lines/s",
        &[
            "bytes",
            "floor: 64 threads, write, fdatasync",
            "turnlock, durable",
            "turnlock, buffered",
        ],
    );
    for (bytes, each, each_buffered) in
        [(SMALL, either(50, 1), either(500, 1)), (LARGE, either(3, 1), either(3, 1))]
    {
        table.row([
            bytes.to_string(),
            rate(many_files(dir, bytes, each)),
            rate(many_sessions(&runtime, &durable(), dir, bytes, each)),
            rate(many_sessions(&runtime, &buffered(), dir, bytes, each_buffered)),
        ]);
    }
    table.print();
}

/// Shows posts during a turn, with and without other posters.
pub fn show_posts(dir: &Path) {
    let mut table = Table::new(
        "a post of 400 bytes during a turn",
        &["durability", "other posters", "p50", "p99", "longest"],
    );
    for (name, sessions, count) in
        [("buffered", buffered(), either(2_000, 1)), ("durable", durable(), either(200, 1))]
    {
        for others in [0, 1, 8] {
            let waits = posts(&sessions, known_session(dir, "posts.jsonl"), others, count);
            let cells = [waits.percentile(50.0), waits.percentile(99.0), waits.max].map(time);
            table.row([name.to_owned(), others.to_string()].into_iter().chain(cells));
        }
    }
    table.print();
}
