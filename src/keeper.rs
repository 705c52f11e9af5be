//! The one background thread of a process: late unlinks, drops that could not be done at once, reports of long holds, and the watch
//! over paths that threads wait on. It never waits for a lock.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::registry;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The process whose thread does them.
    running: Option<u32>,
    /// By when they are due, and in which order they came.
    jobs: BTreeMap<(Instant, u64), Job>,
    count: u64,
    /// When the next look at long holds is due.
    report: Option<Instant>,
}

static KEEPER: LazyLock<Keeper> = LazyLock::new(Keeper::default);

/// Does a job after a while.
pub(crate) fn after(delay: Duration, job: impl FnOnce() + Send + 'static) {
    at(Instant::now() + delay, job);
}

/// Does a job when it is due.
pub(crate) fn at(due: Instant, job: impl FnOnce() + Send + 'static) {
    KEEPER.schedule(&mut KEEPER.state.lock(), due, Box::new(job));
}

/// Whether there is a thread to do the jobs: there may be none to be had, and a fork has none.
pub(crate) fn runs() -> bool {
    KEEPER.state.lock().running == Some(std::process::id())
}

/// Sees to it that a hold which lasts beyond `due` is reported.
pub(crate) fn report_hold_at(due: Option<Instant>) {
    // So far in the future that no clock gets there.
    let Some(due) = due else { return };
    let mut state = KEEPER.state.lock();
    if state.report.is_none_or(|earlier| due < earlier) {
        state.report = Some(due);
        KEEPER.schedule(&mut state, due, Box::new(report_long_holds));
    }
}

fn report_long_holds() {
    KEEPER.state.lock().report = None;
    report_hold_at(registry::report_long_holds(|session, hold| {
        let held = hold.since.elapsed();
        tracing::warn!(session = %session.display(), owner = %hold.owner, label = hold.label.as_deref(), ?held, "a turn is held long");
        if let Some(tell) = &hold.rules.on_long_hold {
            let long = crate::sessions::LongHold::new(session, hold, held);
            // The panic hook has told of it; the late work of all others goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| tell(&long)));
        }
    }));
}

impl Keeper {
    fn schedule(&'static self, state: &mut State, due: Instant, job: Job) {
        state.count += 1;
        state.jobs.insert((due, state.count), job);
        if state.running.is_none() {
            // Where no thread can be had, the next job tries again.
            let started = thread::Builder::new().name("turnlock-keeper".into()).spawn(|| self.run());
            state.running = started.ok().map(|_| std::process::id());
        } else if state.jobs.first_key_value().is_some_and(|((first, _), _)| *first == due) {
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            match state.jobs.first_key_value().map(|((due, _), _)| *due) {
                None => self.changed.wait(&mut state),
                Some(due) if due > Instant::now() => {
                    self.changed.wait_until(&mut state, due);
                }
                Some(_) => {
                    if let Some((_, job)) = state.jobs.pop_first() {
                        parking_lot::MutexGuard::unlocked(&mut state, job);
                    }
                }
            }
        }
    }
}
