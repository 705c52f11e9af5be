//! Many entries, a few threads, and a bound on the time that one entry may take.
//!
//! A system call on a dead network mount may never come back. Its thread is left to its fate then, the entry is reported, and a new
//! thread goes on with the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// More would only queue up before the same disk.
const MOST_THREADS: usize = 8;
/// How often results are taken in and threads looked after.
const ROUND: Duration = Duration::from_millis(50);

/// How a pool works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// An entry that does not get on for longer is given up.
    pub(crate) limit: Duration,
    /// So many entries are worth a thread of their own.
    pub(crate) per_thread: usize,
}

/// An entry's sign of life: a long one beats while it gets on.
pub(crate) struct Pulse {
    began: Instant,
    /// The entry at work, counted from 1; 0 for none, and [`ABANDONED`].
    entry: AtomicUsize,
    /// Milliseconds from `began` to the last beat.
    beat: AtomicU64,
}

struct Patience<'a>(&'a Pulse);

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        self.0.beat();
    }
}

const ABANDONED: usize = usize::MAX;

impl Pulse {
    fn new(began: Instant) -> Self {
        Self { began, entry: AtomicUsize::new(0), beat: AtomicU64::new(0) }
    }

    /// The entry gets on.
    pub(crate) fn beat(&self) {
        self.beat.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// From now until what comes back is dropped, the entry may take as long as it takes.
    pub(crate) fn be_patient(&self) -> impl Drop + '_ {
        self.beat.store(u64::MAX, Ordering::Relaxed);
        Patience(self)
    }

    fn begin(&self, index: usize) {
        self.beat();
        self.entry.store(index + 1, Ordering::Release);
    }

    /// Whether the entry still counts.
    fn end(&self, index: usize) -> bool {
        self.entry.compare_exchange(index + 1, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Gives up on an entry that has not got on for longer than `limit`; says which.
    fn abandon(&self, limit: Duration) -> Option<usize> {
        let entry = self.entry.load(Ordering::Acquire);
        let silent = self
            .began
            .elapsed()
            .saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)));
        let stuck = entry != 0 && entry != ABANDONED && silent > limit;
        let given_up = stuck
            && self
                .entry
                .compare_exchange(entry, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        given_up.then(|| entry - 1)
    }
}

struct Shared<T, R, W> {
    entries: Vec<T>,
    work: W,
    next: AtomicUsize,
    done: Mutex<Vec<(usize, R)>>,
    finished: AtomicUsize,
    all_finished: Condvar,
}

impl<T, R, W: Fn(&T, &Pulse) -> R> Shared<T, R, W> {
    fn run(&self, pulse: &Pulse) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = self.entries.get(index) else { return };
            pulse.begin(index);
            let result = (self.work)(entry, pulse);
            if !pulse.end(index) {
                return;
            }
            self.done.lock().push((index, result));
            if self.finished.fetch_add(1, Ordering::AcqRel) + 1 == self.entries.len() {
                // Taken, so that the wake-up does not fall between the other's look and its sleep.
                drop(self.done.lock());
                self.all_finished.notify_all();
            }
        }
    }
}

/// Does `work` on every entry; gives the results in the order of the entries, `None` for one that was given up.
///
/// `progress` is told every now and then how many are done.
pub(crate) fn each<T, R>(
    entries: Vec<T>,
    pace: Pace,
    work: impl Fn(&T, &Pulse) -> R + Send + Sync + 'static,
    mut progress: impl FnMut(usize),
) -> Vec<Option<R>>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let count = entries.len();
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    if count == 0 {
        return results;
    }
    let shared = Arc::new(Shared {
        entries,
        work,
        next: AtomicUsize::new(0),
        done: Mutex::default(),
        finished: AtomicUsize::new(0),
        all_finished: Condvar::new(),
    });
    let mut pulses: Vec<_> =
        (0..threads_for(count, pace.per_thread)).filter_map(|_| start(&shared)).collect();
    if pulses.is_empty() {
        // No thread to be had: then without a bound.
        shared.run(&Pulse::new(Instant::now()));
    }
    loop {
        let mut done = shared.done.lock();
        if shared.finished.load(Ordering::Acquire) < count {
            shared.all_finished.wait_for(&mut done, ROUND);
        }
        for (index, result) in done.drain(..) {
            results[index] = Some(result);
        }
        drop(done);
        let finished = shared.finished.load(Ordering::Acquire);
        progress(finished);
        if finished >= count && shared.done.lock().is_empty() {
            return results;
        }
        for pulse in &mut pulses {
            if pulse.abandon(pace.limit).is_some() {
                shared.finished.fetch_add(1, Ordering::AcqRel);
                if let Some(new) = start(&shared) {
                    *pulse = new;
                }
            }
        }
    }
}

fn threads_for(entries: usize, per_thread: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
    entries.div_ceil(per_thread).clamp(1, cores)
}

fn start<T, R, W>(shared: &Arc<Shared<T, R, W>>) -> Option<Arc<Pulse>>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    W: Fn(&T, &Pulse) -> R + Send + Sync + 'static,
{
    let pulse = Arc::new(Pulse::new(Instant::now()));
    let (of_thread, shared) = (Arc::clone(&pulse), Arc::clone(shared));
    let started =
        thread::Builder::new().name("turnlock-sweep".into()).spawn(move || shared.run(&of_thread));
    started.is_ok().then_some(pulse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_entries() {
        let mut told = 0;
        let pace = Pace { limit: Duration::from_secs(60), per_thread: 64 };
        let results =
            each((0..10_000).collect(), pace, |n: &u32, _: &Pulse| n * 2, |done| told = done);
        assert_eq!(told, 10_000);
        assert!(results.iter().enumerate().all(|(n, result)| *result == Some(n as u32 * 2)));
    }

    #[test]
    fn an_entry_that_never_comes_back_is_given_up_and_stops_nobody() {
        let stuck = |n: &u32, pulse: &Pulse| match n {
            7 => loop {
                thread::park();
            },
            // It takes longer than the limit, and gets on.
            8 => (0..10).for_each(|_| {
                thread::sleep(Duration::from_millis(20));
                pulse.beat();
            }),
            _ => {}
        };
        let pace = Pace { limit: Duration::from_millis(150), per_thread: 64 };
        let results = each((0..100).collect(), pace, stuck, |_| {});
        let given_up: Vec<_> =
            results.iter().enumerate().filter(|(_, r)| r.is_none()).map(|(n, _)| n).collect();
        assert_eq!(given_up, [7]);
    }
}
