//! The one background thread of a process: late unlinks, drops that could not be done at once, reports of long holds, and the watch
//! over paths that threads wait on, and the end of the time for which a lock is kept for the next turn. It waits for no lock longer than a
//! few milliseconds.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

type Job = Box<dyn FnOnce() + Send>;
/// By when they are due, and in which order they came.
type Jobs = BTreeMap<(Instant, u64), Job>;

#[derive(Default)]
struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The process whose thread does them.
    running: Option<u32>,
    /// It is doing one that may take long.
    busy: bool,
    jobs: Jobs,
    /// Quick ones, that are done before it begins any other.
    first: Jobs,
    count: u64,
}

static KEEPER: LazyLock<Keeper> = LazyLock::new(Keeper::default);

/// Does a job after a while.
pub(crate) fn after(delay: Duration, job: impl FnOnce() + Send + 'static) {
    KEEPER.schedule(&mut KEEPER.state.lock(), Instant::now() + delay, Box::new(job));
}

/// Does a quick job when it is due, or earlier, before the keeper turns to what may take long. `false` if that cannot be: then it is not done.
pub(crate) fn before_all_else(due: Instant, job: impl FnOnce() + Send + 'static) -> bool {
    let mut state = KEEPER.state.lock();
    let free = state.is_free();
    if free {
        state.add(due, Box::new(job), |state| &mut state.first);
        KEEPER.wake_for(&state, due);
    }
    free
}

/// Whether a thread will do a job as soon as it is due.
pub(crate) fn is_free() -> bool {
    KEEPER.state.lock().is_free()
}

impl State {
    /// There may be no thread to be had, a fork has none, and what it is doing may take long.
    fn is_free(&self) -> bool {
        !self.busy && self.running == Some(std::process::id())
    }

    fn add(&mut self, due: Instant, job: Job, to: impl Fn(&mut Self) -> &mut Jobs) {
        self.count += 1;
        let key = (due, self.count);
        to(self).insert(key, job);
    }

    /// When the next job is due.
    fn due(&self) -> Option<Instant> {
        let due = |jobs: &Jobs| jobs.first_key_value().map(|((due, _), _)| *due);
        due(&self.first).into_iter().chain(due(&self.jobs)).min()
    }

    /// What to do now that a job is due.
    fn begin(&mut self) -> Option<Job> {
        let quick = self.first.pop_first();
        self.busy = quick.is_none();
        quick.or_else(|| self.jobs.pop_first()).map(|(_, job)| job)
    }
}

impl Keeper {
    fn schedule(&'static self, state: &mut State, due: Instant, job: Job) {
        state.add(due, job, |state| &mut state.jobs);
        if state.running.is_none() {
            // Where no thread can be had, the next job tries again.
            let started =
                thread::Builder::new().name("turnlock-keeper".into()).spawn(|| self.run());
            state.running = started.ok().map(|_| std::process::id());
        } else {
            self.wake_for(state, due);
        }
    }

    /// It sleeps until the first job is due, which may be a new one.
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
                    // The panic hook has told of it; the late work of all others goes on.
                    let _ = parking_lot::MutexGuard::unlocked(&mut state, || {
                        catch_unwind(AssertUnwindSafe(job))
                    });
                    state.busy = false;
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
    fn what_is_quick_is_done_before_what_may_take_long() {
        let (sender, done) = channel();
        let in_an_hour = Instant::now() + Duration::from_secs(3600);
        let quick = sender.clone();
        // There may be no thread yet, and other tests may keep it busy.
        while !before_all_else(in_an_hour, {
            let quick = quick.clone();
            move || quick.send("quick").unwrap()
        }) {
            after(Duration::ZERO, || {});
            thread::yield_now();
        }
        after(Duration::ZERO, move || {
            assert!(!before_all_else(in_an_hour, || {}), "it would come late");
            sender.send("long").unwrap();
        });
        let next = || done.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!([next(), next()], ["quick", "long"]);
    }
}
