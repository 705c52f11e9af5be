//! The waiting threads themselves. A thread whose wait is over stays for a moment: a session that
//! was contended once soon is again, and to start a thread takes longer than many a turn.

use std::collections::VecDeque;
use std::io;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

type Job = Box<dyn FnOnce() + Send>;

/// How long an idle thread stays.
const STAY: Duration = Duration::from_millis(50);
/// A waiting thread needs little.
const STACK_BYTES: usize = 256 * 1024;

#[derive(Default)]
struct Threads {
    state: Mutex<State>,
    job_added: Condvar,
}

#[derive(Default)]
struct State {
    idle: usize,
    jobs: VecDeque<Job>,
}

static THREADS: LazyLock<Threads> = LazyLock::new(Threads::default);

/// Runs a job that waits, on a thread that has nothing else to do.
///
/// # Errors
/// If no thread is idle and none can be started. The job is dropped then.
pub(super) fn run(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut state = THREADS.state.lock();
    if state.idle > state.jobs.len() {
        state.jobs.push_back(Box::new(job));
        THREADS.job_added.notify_one();
        return Ok(());
    }
    drop(state);
    let work = move || {
        job();
        THREADS.run_more();
    };
    thread::Builder::new()
        .name("turnlock-wait".into())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map(drop)
}

impl Threads {
    /// Runs jobs until none has come for a while.
    fn run_more(&self) {
        let mut state = self.state.lock();
        loop {
            state.idle += 1;
            let timed_out =
                state.jobs.is_empty() && self.job_added.wait_for(&mut state, STAY).timed_out();
            state.idle -= 1;
            match state.jobs.pop_front() {
                Some(job) => MutexGuard::unlocked(&mut state, job),
                None if timed_out => return,
                None => {}
            }
        }
    }
}
