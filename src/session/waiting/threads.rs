//! The threads that wait in the kernel. One that has done its wait stays for a moment, since who contends once contends again,
//! and starting a thread takes longer than many a turn; when nothing comes it ends.

use std::collections::VecDeque;
use std::io;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

type Job = Box<dyn FnOnce() + Send>;

/// How long an idle thread stays.
const STAY: Duration = Duration::from_millis(50);
/// A waiting thread needs little.
const STACK: usize = 256 * 1024;

#[derive(Default)]
struct Crew {
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Default)]
struct State {
    idle: usize,
    jobs: VecDeque<Job>,
}

static CREW: LazyLock<Crew> = LazyLock::new(Crew::default);

/// Does a job that waits, on a thread that has nothing else to do.
///
/// # Errors
/// If there is none, and none can be started; the job is dropped then.
pub(crate) fn send(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut state = CREW.state.lock();
    if state.idle > state.jobs.len() {
        state.jobs.push_back(Box::new(job));
        CREW.called.notify_one();
        return Ok(());
    }
    drop(state);
    let work = move || {
        job();
        CREW.stay();
    };
    thread::Builder::new().name("turnlock-wait".into()).stack_size(STACK).spawn(work).map(drop)
}

impl Crew {
    fn stay(&self) {
        let mut state = self.state.lock();
        loop {
            state.idle += 1;
            let timed_out =
                state.jobs.is_empty() && self.called.wait_for(&mut state, STAY).timed_out();
            state.idle -= 1;
            match state.jobs.pop_front() {
                Some(job) => parking_lot::MutexGuard::unlocked(&mut state, job),
                None if timed_out => return,
                None => {}
            }
        }
    }
}
