//! The way of file work to another thread.
//!
//! The runtime's blocking pool is the program's too. It may be full of threads that wait for the
//! very turn whose holder is to do this work. So what the pool does not begin at once is begun by a
//! thread of ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::keeper::{self, Alarm};
use crate::threads::Threads;

/// Threads of ours for file work. The pool of a runtime has 512.
static OURS: Threads = Threads::new("turnlock-work", 64, Duration::from_secs(1));

/// How long the pool of a runtime has to begin.
const LATE: Duration = Duration::from_millis(5);

type Job = Box<dyn FnOnce() + Send>;

/// Which threads do the work.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// The blocking pool of a runtime, or else ours.
    Runtime(Handle),
    /// Threads of ours.
    Ours,
}

impl Way {
    /// Has a job done. A job that nobody can do is dropped.
    pub(super) fn send(&self, job: Job) {
        match self {
            Self::Ours => drop(OURS.run(job)),
            Self::Runtime(runtime) => {
                let errand =
                    Arc::new(Errand { job: Mutex::new(Some(job)), alarm: Mutex::default() });
                errand.watch();
                let begin = Begin(errand);
                drop(runtime.spawn_blocking(move || begin.0.run()));
            }
        }
    }
}

/// A job that is done by whoever comes first.
struct Errand {
    job: Mutex<Option<Job>>,
    alarm: Mutex<Option<Alarm>>,
}

impl Errand {
    fn watch(self: &Arc<Self>) {
        let errand = Arc::downgrade(self);
        let alarm = keeper::alarm(Instant::now() + LATE, move || {
            if let Some(errand) = errand.upgrade() {
                // If no thread can be had, the pool may still begin.
                let _ = OURS.run(move || errand.run());
            }
        });
        *self.alarm.lock() = Some(alarm);
    }

    fn run(&self) {
        let job = self.take();
        if let Some(job) = job {
            job();
        }
    }

    fn take(&self) -> Option<Job> {
        let job = self.job.lock().take();
        drop(self.alarm.lock().take());
        job
    }
}

/// What the pool has of an errand. Dropped, since the runtime is shut down, the errand is over.
struct Begin(Arc<Errand>);

impl Drop for Begin {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_a_full_pool_does_not_begin_is_done_all_the_same() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (release, full) = channel::<()>();
        runtime.spawn_blocking(move || {
            let _ = full.recv();
        });
        let (sender, done) = channel();
        for n in 0..100 {
            let sender = sender.clone();
            Way::Runtime(runtime.handle().clone()).send(Box::new(move || sender.send(n).unwrap()));
        }
        drop(sender);
        let mut done: Vec<_> = done.iter().collect();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..100));
        drop(release);
    }

    #[test]
    fn a_job_is_dropped_with_the_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let (sender, done) = channel();
        Way::Runtime(handle).send(Box::new(move || sender.send(()).unwrap()));
        assert!(done.recv().is_err());
    }
}
