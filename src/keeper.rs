//! The one background thread of a process: late unlinks, drops that could not be done at once, reports of long holds, and the watch
//! over paths that threads wait on, and the end of the time for which a lock is kept for the next turn. It waits for no lock longer than a
//! few milliseconds.

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
    /// It is doing one.
    busy: bool,
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

/// Whether a thread will do a job as soon as it is due: there may be none to be had, a fork has none, and what it is doing may take long.
pub(crate) fn is_free() -> bool {
    let state = KEEPER.state.lock();
    !state.busy && state.running == Some(std::process::id())
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
            // What else is to be told is told all the same.
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
                    let Some((_, job)) = state.jobs.pop_first() else { continue };
                    state.busy = true;
                    // The panic hook has told of it; the late work of all others goes on.
                    let _ = parking_lot::MutexGuard::unlocked(&mut state, || catch_unwind(AssertUnwindSafe(job)));
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
}
