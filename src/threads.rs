//! Threads that run jobs. A thread that is done stays for a moment: what was needed once soon is
//! again, and to start a thread takes longer than many a turn.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::outside;

type Job = Box<dyn FnOnce() + Send>;

/// The threads need little.
const STACK_BYTES: usize = 256 * 1024;

/// Threads for jobs of one kind.
pub(crate) struct Threads {
    /// Their name, which other programs see.
    name: &'static str,
    /// How many there may be. Further jobs wait until one is done.
    max: usize,
    /// How long an idle thread stays.
    stay: Duration,
    state: Mutex<State>,
    job_added: Condvar,
}

struct State {
    threads: usize,
    idle: usize,
    jobs: VecDeque<Job>,
}

impl Threads {
    pub(crate) const fn new(name: &'static str, max: usize, stay: Duration) -> Self {
        let state = State { threads: 0, idle: 0, jobs: VecDeque::new() };
        Self { name, max, stay, state: Mutex::new(state), job_added: Condvar::new() }
    }

    /// Runs a job on a thread that has nothing else to do, or on a new one. If there are as many as
    /// there may be, the job waits for one of them.
    ///
    /// # Errors
    /// If no thread is idle and none can be started. The job is dropped then.
    pub(crate) fn run(&'static self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.state.lock();
        let is_idle = state.idle > state.jobs.len();
        if is_idle || state.threads >= self.max {
            state.jobs.push_back(Box::new(job));
            self.job_added.notify_one();
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        let work = move || {
            outside::run(job);
            self.run_more();
        };
        let thread = thread::Builder::new().name(self.name.into()).stack_size(STACK_BYTES);
        let started = thread.spawn(work);
        if started.is_err() {
            self.state.lock().threads -= 1;
        }
        started.map(drop)
    }

    /// Runs jobs until none has come for a while.
    fn run_more(&self) {
        let mut state = self.state.lock();
        loop {
            state.idle += 1;
            let timed_out =
                state.jobs.is_empty() && self.job_added.wait_for(&mut state, self.stay).timed_out();
            state.idle -= 1;
            match state.jobs.pop_front() {
                Some(job) => MutexGuard::unlocked(&mut state, || outside::run(job)),
                None if timed_out => {
                    state.threads -= 1;
                    return;
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_job_that_panics_ends_no_thread() {
        static ONE: Threads = Threads::new("test", 1, PATIENCE);
        let (sender, done) = channel();
        ONE.run(|| panic!("on purpose")).unwrap();
        ONE.run(move || sender.send(thread::current().id()).unwrap()).unwrap();
        done.recv_timeout(PATIENCE).unwrap();
        assert_eq!(ONE.state.lock().threads, 1);
    }

    #[test]
    fn there_are_no_more_threads_than_there_may_be() {
        static TWO: Threads = Threads::new("test", 2, PATIENCE);
        let (sender, done) = channel();
        for n in 0..20 {
            let sender = sender.clone();
            TWO.run(move || sender.send((n, thread::current().id())).unwrap()).unwrap();
        }
        let done: Vec<_> = (0..20).map(|_| done.recv_timeout(PATIENCE).unwrap()).collect();
        let threads: std::collections::HashSet<_> = done.iter().map(|(_, id)| *id).collect();
        assert!(threads.len() <= 2, "{threads:?}");
    }
}
