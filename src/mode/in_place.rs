//! File work on the thread that asks for it. Its start is noted, so that others know of work that
//! is stuck while it is stuck.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::outside;

/// When work of one kind began, where some is going on. More than these are not noted.
pub(crate) struct Starts([AtomicU64; 64]);

/// Work on async threads: it keeps other tasks from running.
pub(crate) static BY_TASKS: Starts = Starts::new();
/// Work on threads that may block.
static BY_THREADS: Starts = Starts::new();

/// Nothing is going on.
const NOTHING: u64 = 0;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now() -> u64 {
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

impl Starts {
    const fn new() -> Self {
        Self([const { AtomicU64::new(NOTHING) }; 64])
    }

    /// Does some work, and notes when it began.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _scope = outside::scope();
        let _start = self.note();
        work()
    }

    fn note(&self) -> Option<Start<'_>> {
        let now = now();
        let is_taken = |slot: &&AtomicU64| {
            slot.load(Ordering::Relaxed) == NOTHING
                && slot.compare_exchange(NOTHING, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        self.0.iter().find(is_taken).map(Start)
    }

    /// Whether any of it has been going on for longer than this.
    pub(crate) fn is_any_longer_than(&self, limit: Duration) -> bool {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        // Since before then.
        let then = now().saturating_sub(limit);
        self.0.iter().any(|slot| {
            let began = slot.load(Ordering::Relaxed);
            began != NOTHING && began < then
        })
    }
}

/// Work that is going on.
struct Start<'a>(&'a AtomicU64);

impl Drop for Start<'_> {
    fn drop(&mut self) {
        self.0.store(NOTHING, Ordering::Relaxed);
    }
}

/// Does file work on a thread that may block.
pub(super) fn by_thread<T>(work: impl FnOnce() -> T) -> T {
    BY_THREADS.run(work)
}

/// Whether work on any thread has been going on for longer than this.
pub(super) fn is_any_longer_than(limit: Duration) -> bool {
    BY_THREADS.is_any_longer_than(limit) || BY_TASKS.is_any_longer_than(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_known_to_be_slow_while_it_is() {
        let starts = Starts::new();
        let limit = Duration::from_millis(1);
        starts.run(|| {
            assert!(!starts.is_any_longer_than(Duration::from_secs(3600)));
            std::thread::sleep(limit * 2);
            assert!(starts.is_any_longer_than(limit));
        });
        assert!(!starts.is_any_longer_than(Duration::ZERO));
    }

    #[test]
    fn what_is_beyond_count_is_not_noted() {
        let starts = Starts::new();
        let all: Vec<_> = (0..64).map(|_| starts.note().unwrap()).collect();
        assert!(starts.note().is_none());
        drop(all);
        assert!(starts.note().is_some());
    }
}
