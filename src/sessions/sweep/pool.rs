//! A thread pool that maps many entries and bounds the time that one entry may take.
//!
//! A system call on a dead network mount may never return. Its thread is then abandoned, the entry
//! is reported, and a new thread continues with the rest, except for what is likely to hang as
//! well.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::silence::{self, Listing};

/// More threads would only compete for the same disk.
const MAX_THREADS: usize = 8;
/// The interval at which results are collected and stuck threads replaced.
const ROUND: Duration = Duration::from_millis(50);

/// The limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// An entry without a heartbeat for longer than this is abandoned.
    pub(crate) stuck_after: Duration,
    /// The number of entries that justify another thread.
    pub(crate) per_thread: usize,
}

/// Something to work on.
pub(crate) trait Entry {
    /// The path that may not answer.
    fn path(&self) -> PathBuf;
}

impl Entry for PathBuf {
    fn path(&self) -> PathBuf {
        self.clone()
    }
}

/// The signs of progress of one thread. Long work on an entry calls [`beat`](Self::beat).
pub(crate) struct Heartbeat {
    began: Instant,
    /// The entry in progress, counted from 1. 0 if there is none, or [`ABANDONED`].
    entry: AtomicUsize,
    /// The time of the last beat, in milliseconds since `began`.
    last: AtomicU64,
}

const ABANDONED: usize = usize::MAX;

/// Suspends the time limit of an entry until it is dropped.
struct Unlimited<'a>(&'a Heartbeat);

impl Drop for Unlimited<'_> {
    fn drop(&mut self) {
        self.0.beat();
    }
}

impl Heartbeat {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, entry: AtomicUsize::new(0), last: AtomicU64::new(0) }
    }

    /// Tells that the entry makes progress.
    pub(crate) fn beat(&self) {
        self.last.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Suspends the time limit of the entry until the returned guard is dropped.
    pub(crate) fn without_limit(&self) -> impl Drop + '_ {
        self.last.store(u64::MAX, Ordering::Relaxed);
        Unlimited(self)
    }

    fn begin(&self, index: usize) {
        self.beat();
        self.entry.store(index + 1, Ordering::Release);
    }

    /// Ends the work on an entry. Returns false if the entry was abandoned.
    fn end(&self, index: usize) -> bool {
        self.exchange(index + 1, 0)
    }

    /// The entry whose last beat is longer ago than `limit`, as it is in `entry`.
    fn stuck(&self, limit: Duration) -> Option<usize> {
        let entry = self.entry.load(Ordering::Acquire);
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        let silent = self.began.elapsed().saturating_sub(last);
        (entry != 0 && entry != ABANDONED && silent > limit).then_some(entry)
    }

    /// Abandons the entry if its last beat is longer ago than `limit`. Returns its index if it did.
    fn abandon_if_stuck(&self, limit: Duration) -> Option<usize> {
        let entry = self.stuck(limit)?;
        self.exchange(entry, ABANDONED).then(|| entry - 1)
    }

    fn exchange(&self, from: usize, to: usize) -> bool {
        self.entry.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

struct Shared<T, R, W> {
    entries: Vec<T>,
    work: W,
    next: AtomicUsize,
    done: Mutex<Vec<(usize, R)>>,
    /// The number of entries that are done or abandoned.
    finished: AtomicUsize,
    all_finished: Condvar,
}

impl<T: Entry, R, W: Fn(&T, &Heartbeat) -> R> Shared<T, R, W> {
    fn new(entries: Vec<T>, work: W) -> Self {
        Self {
            entries,
            work,
            next: AtomicUsize::new(0),
            done: Mutex::default(),
            finished: AtomicUsize::new(0),
            all_finished: Condvar::new(),
        }
    }

    /// Works on one entry after the other until none is left, or until one was abandoned.
    fn run(&self, heartbeat: &Heartbeat) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = self.entries.get(index) else { return };
            if silence::is_anywhere() && silence::expects_no_answer(&entry.path()) {
                self.finish_one();
                continue;
            }
            heartbeat.begin(index);
            let result = (self.work)(entry, heartbeat);
            if !heartbeat.end(index) {
                Listing::open().remove(&entry.path());
                return;
            }
            self.done.lock().push((index, result));
            self.finish_one();
        }
    }

    fn finish_one(&self) {
        if self.finished.fetch_add(1, Ordering::AcqRel) + 1 == self.entries.len() {
            // The mutex is taken so that the notification cannot fall between the collector's check
            // and its wait.
            drop(self.done.lock());
            self.all_finished.notify_all();
        }
    }

    /// Abandons the entry of a thread if it gives no answer. Returns whether it did.
    fn abandon_if_stuck(&self, heartbeat: &Heartbeat, limit: Duration) -> bool {
        if heartbeat.stuck(limit).is_none() {
            return false;
        }
        // A thread that returns just now takes the entry from the list after it is in it.
        let mut listing = Listing::open();
        let Some(index) = heartbeat.abandon_if_stuck(limit) else { return false };
        listing.add(self.entries[index].path());
        drop(listing);
        self.finish_one();
        true
    }

    /// Moves results into their places. Waits for one round, or until all entries are finished.
    fn collect_into(&self, results: &mut [Option<R>]) {
        let mut done = self.done.lock();
        if self.finished.load(Ordering::Acquire) < self.entries.len() {
            self.all_finished.wait_for(&mut done, ROUND);
        }
        for (index, result) in done.drain(..) {
            results[index] = Some(result);
        }
    }
}

/// Does `work` on every entry and returns the results in the order of the entries. `None` stands
/// for an entry that was abandoned.
///
/// Calls `progress` after each round with the number of finished entries. Blocks until all entries
/// are finished.
pub(crate) fn map<T, R>(
    entries: Vec<T>,
    limits: Limits,
    work: impl Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
    mut progress: impl FnMut(usize),
) -> Vec<Option<R>>
where
    T: Entry + Send + Sync + 'static,
    R: Send + 'static,
{
    let count = entries.len();
    if count == 0 {
        return Vec::new();
    }
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    let shared = Arc::new(Shared::new(entries, work));
    let threads = threads_for(count, limits.per_thread);
    let mut heartbeats: Vec<_> = (0..threads).filter_map(|_| start(&shared)).collect();
    if heartbeats.is_empty() {
        // No thread can be started: the work is done here, without a time limit.
        shared.run(&Heartbeat::new(Instant::now()));
    }
    loop {
        shared.collect_into(&mut results);
        let finished = shared.finished.load(Ordering::Acquire);
        progress(finished);
        if finished >= count && shared.done.lock().is_empty() {
            return results;
        }
        replace_stuck(&mut heartbeats, &shared, limits.stuck_after);
    }
}

fn replace_stuck<T, R, W>(
    heartbeats: &mut [Arc<Heartbeat>],
    shared: &Arc<Shared<T, R, W>>,
    limit: Duration,
) where
    T: Entry + Send + Sync + 'static,
    R: Send + 'static,
    W: Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
{
    for heartbeat in heartbeats {
        if shared.abandon_if_stuck(heartbeat, limit)
            && let Some(new) = start(shared)
        {
            *heartbeat = new;
        }
    }
}

fn threads_for(entries: usize, per_thread: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS));
    entries.div_ceil(per_thread).clamp(1, cores)
}

fn start<T, R, W>(shared: &Arc<Shared<T, R, W>>) -> Option<Arc<Heartbeat>>
where
    T: Entry + Send + Sync + 'static,
    R: Send + 'static,
    W: Fn(&T, &Heartbeat) -> R + Send + Sync + 'static,
{
    let heartbeat = Arc::new(Heartbeat::new(Instant::now()));
    let (of_thread, shared) = (Arc::clone(&heartbeat), Arc::clone(shared));
    let started =
        thread::Builder::new().name("turnlock-sweep".into()).spawn(move || shared.run(&of_thread));
    started.is_ok().then_some(heartbeat)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a test. A silent one is listed by its path, which other tests must not share.
    struct Item(&'static str, u32);

    impl Entry for Item {
        fn path(&self) -> PathBuf {
            format!("/no-such-directory/{}/{}", self.0, self.1).into()
        }
    }

    fn items(test: &'static str, count: u32) -> Vec<Item> {
        (0..count).map(|n| Item(test, n)).collect()
    }

    #[test]
    fn results_come_in_the_order_of_the_entries() {
        let mut seen = 0;
        let limits = Limits { stuck_after: Duration::from_secs(60), per_thread: 64 };
        let work = |item: &Item, _: &Heartbeat| item.1 * 2;
        let results = map(items("order", 10_000), limits, work, |done| seen = done);
        assert_eq!(seen, 10_000);
        assert!(results.iter().enumerate().all(|(n, result)| *result == Some(n as u32 * 2)));
    }

    #[test]
    fn an_entry_that_never_comes_back_is_given_up_and_stops_nobody() {
        let limit = Duration::from_millis(500);
        let work = move |item: &Item, heartbeat: &Heartbeat| match item.1 {
            7 => loop {
                thread::park();
            },
            // It takes longer than the limit, but makes progress.
            8 => {
                let until = Instant::now() + 2 * limit;
                while Instant::now() < until {
                    thread::yield_now();
                    heartbeat.beat();
                }
            }
            _ => {}
        };
        let limits = Limits { stuck_after: limit, per_thread: 64 };
        let results = map(items("silent", 100), limits, work, |_| {});
        let abandoned: Vec<_> =
            results.iter().enumerate().filter(|(_, r)| r.is_none()).map(|(n, _)| n).collect();
        assert_eq!(abandoned, [7]);
    }
}
