//! The keeper: the one background thread of a process.
//!
//! It runs callbacks, and depends on no other room. They tidy up lingering lock files, complete
//! drops that could not be completed at once, report long holds, watch the paths that threads wait
//! on, and release a kept lock when the run is over. None of them waits longer than a few
//! milliseconds for a lock.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

type Job = Box<dyn FnOnce() + Send>;
/// Jobs by the time when they are due, then by the order in which they came.
type Jobs = BTreeMap<(Instant, u64), Job>;

#[derive(Default)]
struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The process that started the thread.
    pid: Option<u32>,
    /// Whether the thread is doing a job that may take long.
    is_busy: bool,
    /// Jobs that may take long.
    jobs: Jobs,
    /// Quick jobs, which are done before any other begins.
    quick_jobs: Jobs,
    /// How many jobs have come so far.
    count: u64,
}

static KEEPER: LazyLock<Keeper> = LazyLock::new(Keeper::default);

/// Runs a job after `delay`.
pub(crate) fn after(delay: Duration, job: impl FnOnce() + Send + 'static) {
    KEEPER.schedule(&mut KEEPER.state.lock(), Instant::now() + delay, Box::new(job));
}

/// Runs a quick job when it is due, or earlier, before the keeper begins a job that may take long.
/// `false` if that cannot be promised: the job is dropped.
pub(crate) fn no_later_than(due: Instant, job: impl FnOnce() + Send + 'static) -> bool {
    let mut state = KEEPER.state.lock();
    let is_free = state.is_free();
    if is_free {
        state.add(due, Box::new(job), |state| &mut state.quick_jobs);
        KEEPER.wake_for(&state, due);
    }
    is_free
}

/// Whether a thread will run a job as soon as it is due.
pub(crate) fn is_free() -> bool {
    KEEPER.state.lock().is_free()
}

impl State {
    /// Whether there is a thread, and it is not doing a job that may take long. A fork has none.
    fn is_free(&self) -> bool {
        !self.is_busy && self.pid == Some(std::process::id())
    }

    fn add(&mut self, due: Instant, job: Job, to: impl Fn(&mut Self) -> &mut Jobs) {
        self.count += 1;
        let key = (due, self.count);
        to(self).insert(key, job);
    }

    /// When the next job is due.
    fn due(&self) -> Option<Instant> {
        let due = |jobs: &Jobs| jobs.first_key_value().map(|((due, _), _)| *due);
        due(&self.quick_jobs).into_iter().chain(due(&self.jobs)).min()
    }

    /// Takes out the job to run, once any job is due. Quick jobs go first, whether they are due or
    /// not.
    fn begin(&mut self) -> Option<Job> {
        let quick = self.quick_jobs.pop_first();
        self.is_busy = quick.is_none();
        quick.or_else(|| self.jobs.pop_first()).map(|(_, job)| job)
    }
}

impl Keeper {
    fn schedule(&'static self, state: &mut State, due: Instant, job: Job) {
        state.add(due, job, |state| &mut state.jobs);
        if state.pid.is_none() {
            // If no thread can be started now, the next job tries again.
            let started =
                thread::Builder::new().name("turnlock-keeper".into()).spawn(|| self.run());
            state.pid = started.ok().map(|_| std::process::id());
        } else {
            self.wake_for(state, due);
        }
    }

    /// Wakes the thread if the first job to be due is a new one.
    fn wake_for(&self, state: &State, due: Instant) {
        if state.due() == Some(due) {
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            match state.due() {
                None => self.changed.wait(&mut state),
                Some(due) if due > Instant::now() => {
                    self.changed.wait_until(&mut state, due);
                }
                Some(_) => {
                    let Some(job) = state.begin() else { continue };
                    // The panic hook has reported a panic. The other jobs must still be done.
                    let run = || catch_unwind(AssertUnwindSafe(job));
                    let _ = MutexGuard::unlocked(&mut state, run);
                    state.is_busy = false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_job_that_panics_does_not_end_the_keeper() {
        let (sender, done) = channel();
        after(Duration::ZERO, || panic!("a job that panics, on purpose"));
        after(Duration::ZERO, move || sender.send(()).unwrap());
        done.recv_timeout(Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn a_quick_job_is_done_before_one_that_may_take_long() {
        let (sender, done) = channel();
        let in_an_hour = Instant::now() + Duration::from_secs(3600);
        let quick = sender.clone();
        // There may be no thread yet, and other tests may keep it busy.
        while !no_later_than(in_an_hour, {
            let quick = quick.clone();
            move || quick.send("quick").unwrap()
        }) {
            after(Duration::ZERO, || {});
            thread::yield_now();
        }
        after(Duration::ZERO, move || {
            assert!(!no_later_than(in_an_hour, || {}), "it could be late");
            sender.send("long").unwrap();
        });
        let next = || done.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!([next(), next()], ["quick", "long"]);
    }
}
