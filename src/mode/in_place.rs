//! File work on the thread that asks for it. Its start is noted, so that others know of work that
//! is stuck while it is stuck.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::outside;

/// How much work of one kind is noted at a time. What is beyond that is not.
const MAX: usize = 32;

/// When work of one kind began, where some is going on.
pub(crate) struct Starts([AtomicU64; MAX]);

/// Work on async threads: it keeps other tasks from running.
pub(crate) static BY_TASKS: Starts = Starts::new();
/// Work on threads that may block.
static BY_THREADS: Starts = Starts::new();

/// A moment, as it is noted: nanoseconds since the first one. Zero stands for none.
pub(crate) type Moment = u64;

const NONE: Moment = 0;

/// This moment.
pub(crate) fn now() -> Moment {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(FIRST.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// So much time in the unit of moments.
pub(crate) const fn span(time: Duration) -> u64 {
    time.as_nanos() as u64
}

impl Starts {
    const fn new() -> Self {
        Self([const { AtomicU64::new(NONE) }; MAX])
    }

    /// Does some work that begins now, and notes that.
    pub(crate) fn run<T>(&self, now: Moment, work: impl FnOnce() -> T) -> T {
        let _scope = outside::scope();
        let _start = self.note(now);
        work()
    }

    fn note(&self, now: Moment) -> Option<Start<'_>> {
        let take = |slot: &&AtomicU64| {
            slot.load(Ordering::Relaxed) == NONE
                && slot.compare_exchange(NONE, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        self.0.iter().find(take).map(Start)
    }

    /// Whether any of it has been going on for longer than this.
    pub(crate) fn is_any_longer_than(&self, limit: Duration, now: Moment) -> bool {
        let then = now.saturating_sub(span(limit));
        let began = |slot: &AtomicU64| slot.load(Ordering::Relaxed);
        self.0.iter().map(began).any(|began| began != NONE && began < then)
    }
}

/// Work that is going on.
struct Start<'a>(&'a AtomicU64);

impl Drop for Start<'_> {
    fn drop(&mut self) {
        self.0.store(NONE, Ordering::Relaxed);
    }
}

/// Does file work on a thread that may block.
pub(super) fn by_thread<T>(work: impl FnOnce() -> T) -> T {
    BY_THREADS.run(now(), work)
}

/// Whether work on any thread has been going on for longer than this.
pub(super) fn is_any_longer_than(limit: Duration) -> bool {
    let now = now();
    BY_THREADS.is_any_longer_than(limit, now) || BY_TASKS.is_any_longer_than(limit, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_known_to_be_slow_while_it_is() {
        let starts = Starts::new();
        let limit = Duration::from_millis(1);
        starts.run(now(), || {
            assert!(!starts.is_any_longer_than(Duration::from_secs(3600), now()));
            std::thread::sleep(limit * 2);
            assert!(starts.is_any_longer_than(limit, now()));
        });
        assert!(!starts.is_any_longer_than(Duration::ZERO, now()));
    }

    #[test]
    fn what_is_beyond_count_is_not_noted() {
        let starts = Starts::new();
        let all: Vec<_> = (0..MAX).map(|_| starts.note(now()).unwrap()).collect();
        assert!(starts.note(now()).is_none());
        drop(all);
        assert!(starts.note(now()).is_some());
    }
}
