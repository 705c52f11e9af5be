//! The keeper: what a process does later.
//!
//! It tidies up lingering lock files, completes drops that could not be done at once, reports long
//! holds, watches what threads wait for, and lets go of a kept lock when the run is over.
//!
//! It is one thread that keeps the time. It touches no disk and runs no code of others: a disk that
//! does not answer would stop it for all the others. What may take long is done in *lanes*, one for
//! each filesystem, each of which has a thread while it has work.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::outside;
use crate::sys::Mount;
use crate::threads::Threads;

/// Where jobs that may take long are done, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// File work on this filesystem.
    Disk(Mount),
    /// Callbacks of the program.
    Callbacks,
    /// File work on whatever filesystem, while there are very many.
    Rest,
}

/// Lanes that may be busy at a time.
const MAX_LANES: usize = 64;
/// How long the thread of a lane stays when nothing is left to do.
const STAY: Duration = Duration::from_secs(1);
/// When to try again to start a thread.
const AGAIN: Duration = Duration::from_millis(10);

static LANES: Threads = Threads::new("turnlock-disk", MAX_LANES + 1, STAY);

type Job = Box<dyn FnOnce() + Send>;
/// By when each is due, and in which order they came.
type Jobs<T> = BTreeMap<Key, T>;
type Key = (Instant, u64);

#[derive(Default)]
struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The process that started the thread.
    pid: Option<u32>,
    /// Until when the thread sleeps, if it does.
    sleeps_until: Option<Instant>,
    /// Jobs that may take long, each with its lane.
    jobs: Jobs<(Lane, Job)>,
    /// Jobs that the keeper's own thread does.
    quick_jobs: Jobs<Job>,
    count: u64,
    /// What is left to do in the lanes that have a thread.
    lanes: HashMap<Lane, VecDeque<Job>>,
}

/// Later than anything is due.
const FAR: Duration = Duration::from_secs(60 * 60 * 24);

static KEEPER: LazyLock<Keeper> = LazyLock::new(Keeper::default);

/// Runs a job in a lane after `delay`.
pub(crate) fn after(delay: Duration, lane: Lane, job: impl FnOnce() + Send + 'static) {
    let due = Instant::now() + delay;
    let mut state = KEEPER.state.lock();
    let key = state.next_key(due);
    state.jobs.insert(key, (lane, Box::new(job)));
    KEEPER.wake_for(&mut state, due);
}

/// Runs a quick job after `delay`, on the keeper's own thread. It touches no disk that may be far,
/// and no code of others. This spares the wake-ups of a lane's thread.
pub(crate) fn quick_after(delay: Duration, job: impl FnOnce() + Send + 'static) {
    let mut state = KEEPER.state.lock();
    KEEPER.add_quick(&mut state, Instant::now() + delay, Box::new(job));
}

/// Runs a quick job when it is due. It touches no disk that may be far, and no code of others.
/// `false` if that cannot be promised: the job is dropped.
pub(crate) fn at(due: Instant, job: impl FnOnce() + Send + 'static) -> bool {
    let mut state = KEEPER.state.lock();
    let is_running = state.is_running();
    if is_running {
        KEEPER.add_quick(&mut state, due, Box::new(job));
    }
    is_running
}

/// Runs a quick job when it is due, unless the alarm is dropped before.
pub(crate) fn alarm(due: Instant, job: impl FnOnce() + Send + 'static) -> Alarm {
    let mut state = KEEPER.state.lock();
    Alarm(KEEPER.add_quick(&mut state, due, Box::new(job)))
}

/// See [`alarm`].
#[derive(Debug)]
pub(crate) struct Alarm(Key);

impl Drop for Alarm {
    fn drop(&mut self) {
        let job = KEEPER.state.lock().quick_jobs.remove(&self.0);
        // Without the mutex: what the job owns goes with it.
        drop(job);
    }
}

/// Whether there is a thread to run a job when it is due. A fork has none.
pub(crate) fn is_running() -> bool {
    KEEPER.state.lock().is_running()
}

impl State {
    fn is_running(&self) -> bool {
        self.pid == Some(std::process::id())
    }

    fn next_key(&mut self, due: Instant) -> Key {
        self.count += 1;
        (due, self.count)
    }

    /// When the next job is due.
    fn due(&self) -> Option<Instant> {
        let quick = self.quick_jobs.first_key_value().map(|(key, _)| key.0);
        let long = self.jobs.first_key_value().map(|(key, _)| key.0);
        quick.into_iter().chain(long).min()
    }
}

fn pop_due<T>(jobs: &mut Jobs<T>, now: Instant) -> Option<T> {
    let first = jobs.first_entry().filter(|first| first.key().0 <= now)?;
    Some(first.remove())
}

impl Keeper {
    fn add_quick(&'static self, state: &mut State, due: Instant, job: Job) -> Key {
        let key = state.next_key(due);
        state.quick_jobs.insert(key, job);
        self.wake_for(state, due);
        key
    }

    /// Wakes the thread if it would sleep for too long. Starts it if there is none.
    fn wake_for(&'static self, state: &mut State, due: Instant) {
        if state.pid.is_none() {
            // If no thread can be started now, the next job tries again.
            let started =
                thread::Builder::new().name("turnlock-keeper".into()).spawn(|| self.run());
            state.pid = started.ok().map(|_| std::process::id());
        } else if state.sleeps_until.is_some_and(|until| due < until) {
            state.sleeps_until = None;
            self.changed.notify_one();
        }
    }

    fn run(&'static self) {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            if let Some(job) = pop_due(&mut state.quick_jobs, now) {
                MutexGuard::unlocked(&mut state, || outside::run(job));
            } else if let Some((lane, job)) = pop_due(&mut state.jobs, now) {
                self.pass_to_lane(&mut state, lane, job);
            } else {
                let until = state.due().unwrap_or(now + FAR);
                state.sleeps_until = Some(until);
                self.changed.wait_until(&mut state, until);
                state.sleeps_until = None;
            }
        }
    }

    fn pass_to_lane(&'static self, state: &mut MutexGuard<'_, State>, lane: Lane, job: Job) {
        let is_full = state.lanes.len() >= MAX_LANES && !state.lanes.contains_key(&lane);
        let lane = if is_full { Lane::Rest } else { lane };
        match state.lanes.entry(lane) {
            Entry::Occupied(mut jobs) => return jobs.get_mut().push_back(job),
            Entry::Vacant(free) => drop(free.insert(VecDeque::from([job]))),
        }
        if MutexGuard::unlocked(state, || LANES.run(move || self.work_in(lane))).is_err() {
            // There is no thread to be had just now.
            let due = Instant::now() + AGAIN;
            for job in state.lanes.remove(&lane).unwrap_or_default() {
                let key = state.next_key(due);
                state.jobs.insert(key, (lane, job));
            }
        }
    }

    /// Does what there is to do in a lane.
    fn work_in(&self, lane: Lane) {
        let mut state = self.state.lock();
        while let Some(job) = state.lanes.get_mut(&lane).and_then(VecDeque::pop_front) {
            MutexGuard::unlocked(&mut state, || outside::run(|| outside::after(job)));
        }
        state.lanes.remove(&lane);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_job_that_panics_does_not_end_the_keeper() {
        let (sender, done) = channel();
        let quick = sender.clone();
        after(Duration::ZERO, Lane::Callbacks, || panic!("a job that panics, on purpose"));
        after(Duration::ZERO, Lane::Callbacks, move || sender.send(()).unwrap());
        done.recv_timeout(PATIENCE).unwrap();
        let now = Instant::now();
        let _panics = alarm(now, || panic!("a job that panics, on purpose"));
        let _alarm = alarm(now, move || quick.send(()).unwrap());
        done.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn a_lane_that_is_stuck_stops_no_other_and_no_quick_job() {
        let (release, stuck) = channel::<()>();
        let (sender, done) = channel();
        let quick = sender.clone();
        after(Duration::ZERO, Lane::Rest, move || {
            let _ = stuck.recv();
        });
        after(Duration::ZERO, Lane::Callbacks, move || sender.send("lane").unwrap());
        assert_eq!(done.recv_timeout(PATIENCE), Ok("lane"));
        let _alarm = alarm(Instant::now(), move || quick.send("quick").unwrap());
        assert_eq!(done.recv_timeout(PATIENCE), Ok("quick"));
        drop(release);
    }

    #[test]
    fn an_alarm_that_is_dropped_does_not_ring() {
        let (sender, done) = channel();
        let late = sender.clone();
        let soon = Instant::now() + Duration::from_millis(20);
        drop(alarm(soon, move || late.send("no").unwrap()));
        let _alarm = alarm(soon + Duration::from_millis(1), move || sender.send("yes").unwrap());
        assert_eq!(done.recv_timeout(PATIENCE), Ok("yes"));
        assert!(done.recv().is_err(), "the other job is gone");
    }
}
