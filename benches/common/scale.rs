//! Many sessions: held at once, known to a process, and swept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use turnlock::{Sessions, Turn};

use super::show::{Table, time};
use super::{buffered, either, floor, known_session, rounds::median};

/// Returns the number of heap bytes in use.
pub type Heap = fn() -> usize;

/// The cost of holding `count` sessions.
#[derive(Debug, Clone)]
pub struct Held {
    pub count: usize,
    /// The time to acquire each of them, while their number grew.
    pub acquire: Duration,
    /// The time to acquire and release one more while these are held.
    pub one_more: Duration,
    pub heap_each: f64,
    pub threads: usize,
    pub descriptors: usize,
}

/// The number of sessions that can be held, up to `wanted`. Each needs two descriptors.
pub fn at_most(wanted: usize) -> usize {
    const OTHERS: u64 = 200;
    let needed = wanted as u64 * 2 + OTHERS;
    let maximum = getrlimit(Resource::Nofile).maximum;
    // A privileged process may raise its hard limit.
    let raised = |to: u64| {
        let limit = Rlimit { current: Some(to), maximum: maximum.map(|maximum| maximum.max(to)) };
        setrlimit(Resource::Nofile, limit).is_ok()
    };
    let allowed = maximum.unwrap_or(needed).min(needed);
    if raised(needed) {
        return wanted;
    }
    raised(allowed);
    wanted.min((allowed.saturating_sub(OTHERS) / 2) as usize)
}

/// Holds more and more sessions, and measures at each count.
pub fn hold(dir: &Path, counts: &[usize], heap: Heap) -> Vec<Held> {
    let sessions = buffered();
    let extra = known_session(dir, "one-more.jsonl");
    let most = counts.iter().max().copied().unwrap_or(0);
    let paths: Vec<_> = (0..most).map(|n| known_session(dir, &format!("held-{n}.jsonl"))).collect();
    // Starts the keeper, and whatever else a process starts only once.
    drop(sessions.turn(&extra).acquire_blocking().unwrap());
    let mut turns = Vec::with_capacity(most);
    let empty = heap();
    counts
        .iter()
        .map(|&count| {
            let new = count - turns.len();
            let began = Instant::now();
            turns.extend(paths[turns.len()..count].iter().map(|path| take(&sessions, path)));
            Held {
                count,
                acquire: began.elapsed() / new.max(1) as u32,
                heap_each: (heap() - empty) as f64 / count as f64,
                threads: entries("/proc/self/task"),
                descriptors: entries("/proc/self/fd"),
                one_more: one_more(&sessions, &extra),
            }
        })
        .collect()
}

fn take(sessions: &Sessions, path: &Path) -> Turn {
    sessions.turn(path).acquire_blocking().unwrap()
}

fn one_more(sessions: &Sessions, path: &Path) -> Duration {
    let times = (0..either(2_000, 1)).map(|_| {
        let began = Instant::now();
        take(sessions, path).release_blocking().unwrap();
        began.elapsed().as_nanos() as f64
    });
    Duration::from_nanos(median(times.collect()) as u64)
}

fn entries(dir: &str) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

/// Takes a turn on `count` sessions, one after the other. Returns the time of a turn among the
/// first and among the last tenth of them, and the heap bytes that stay for each session.
pub fn know(dir: &Path, count: usize, heap: Heap) -> (Duration, Duration, f64) {
    let sessions = buffered();
    let paths: Vec<_> =
        (0..count).map(|n| known_session(dir, &format!("known-{n}.jsonl"))).collect();
    let tenth = count.div_ceil(10);
    let turns = |paths: &[PathBuf]| {
        let began = Instant::now();
        for path in paths {
            take(&sessions, path).release_blocking().unwrap();
        }
        began.elapsed() / paths.len() as u32
    };
    let before = heap();
    let first = turns(&paths[..tenth]);
    turns(&paths[tenth..count - tenth]);
    let last = turns(&paths[count - tenth..]);
    (first, last, heap().saturating_sub(before) as f64 / count as f64)
}

/// Creates sessions with the locks of a dead holder. Returns the paths of the locks.
pub fn litter(dir: &Path, count: usize) -> Vec<PathBuf> {
    let pattern = known_session(dir, "litter.jsonl");
    let sessions = buffered();
    let turn = take(&sessions, &pattern);
    let record = fs::read(turn.lock_path()).unwrap();
    turn.release_blocking().unwrap();
    fs::remove_file(&pattern).unwrap();
    (0..count)
        .map(|n| {
            let session = known_session(dir, &format!("stale-{n}.jsonl"));
            let lock = session.with_extension("jsonl.lock");
            fs::write(&lock, &record).unwrap();
            lock
        })
        .collect()
}

/// Sweeps a directory. Returns the time, and the number of removed locks.
pub fn sweep(dir: &Path) -> (Duration, usize) {
    let began = Instant::now();
    let reports = buffered().sweep(dir).unwrap();
    (began.elapsed(), reports.iter().filter(|report| report.removed).count())
}

/// Reads the status of all locks, without changes. Returns the time, and the number of locks.
pub fn look(dir: &Path) -> (Duration, usize) {
    let began = Instant::now();
    let reports = buffered().status(dir).unwrap();
    (began.elapsed(), reports.len())
}

/// The floor of a look: open, `flock`, read and close each file.
pub fn bare_look(locks: &[PathBuf]) -> Duration {
    let began = Instant::now();
    for lock in locks {
        let file = floor::open(lock, OFlags::RDWR);
        floor::lock(&file);
        rustix::io::read(&file, &mut [0; 1024]).unwrap();
    }
    began.elapsed()
}

/// The floor of a sweep: also unlinks each file.
pub fn bare_removal(locks: &[PathBuf]) -> Duration {
    let began = Instant::now();
    for lock in locks {
        let file = floor::open(lock, OFlags::RDWR);
        floor::lock(&file);
        rustix::io::read(&file, &mut [0; 1024]).unwrap();
        rustix::fs::unlink(lock).unwrap();
    }
    began.elapsed()
}

/// Shows the cost of sessions on which a process has had turns.
pub fn show_known(dir: &Path, heap: Heap) {
    let count = either(100_000, 20);
    let (first, last, heap) = know(dir, count, heap);
    let mut table = Table::new(
        "sessions known",
        &["sessions", "turn, first tenth", "turn, last tenth", "heap that stays for each"],
    );
    table.row([count.to_string(), time(first), time(last), format!("{heap:.1} B")]);
    table.print();
}

/// Shows a sweep over the locks of a dead process, and the bare calls.
pub fn show_swept(dir: &Path) {
    let count = either(100_000, 20);
    let mut table =
        Table::new(format!("{count} locks of a process that died"), &["what", "time", "of each"]);
    let locks = litter(dir, count);
    let mut row = |what: &str, duration| {
        table.row([what.to_owned(), time(duration), time(duration / count as u32)]);
    };
    row("floor: open, flock, read, close", bare_look(&locks));
    row("status (changes nothing)", look(dir).0);
    let (duration, removed) = sweep(dir);
    assert_eq!(removed, count, "every stale lock is removed");
    row("sweep (removes them)", duration);
    row("floor: open, flock, read, unlink, close", bare_removal(&litter(dir, count)));
    table.print();
}
