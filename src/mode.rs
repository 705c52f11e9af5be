//! One body of code for tasks of a runtime and for threads that may block.
//!
//! Every operation is written once, as an `async fn` over a [`Mode`]. In blocking mode nothing in
//! it is ever pending, so that [`now_or_never`] completes it with a single poll.
//!
//! | file | purpose |
//! |---|---|
//! | `task.rs` | work on another thread: its result, or the end of the time that it has |
//! | `errand.rs` | the way to that thread: the runtime's pool, or a thread of ours if it is full |
//! | `disk.rs` | how much of it runs at a time on one disk, which may not answer |
//! | `alarm.rs` | the end of a wait, where there is no runtime |
//! | `driven.rs` | what is polled by threads of ours, and ends with a callback |
//! | `in_place.rs` | work on the thread that asks for it: how long it has been going on |

mod alarm;
mod disk;
mod driven;
mod errand;
pub(crate) mod in_place;
mod task;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::error::{Error, Result};
pub(crate) use disk::Disk;
pub(crate) use driven::{Driven, drive};
use errand::Way;
use task::{Outcome, Task};

/// How an operation waits, and where it does file work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For a thread that may block. File work is done on it, and waits park it.
    Blocking,
    /// For a task of a tokio runtime. File work goes to the blocking pool, and waits end with a
    /// waker.
    Async,
    /// For what is started and calls back. The same without a runtime: file work goes to threads of
    /// ours.
    Callback,
}

/// Work on a thread's own disk that takes longer than this is stuck: other threads do theirs
/// elsewhere, so that they can keep their deadlines.
const STUCK: Duration = Duration::from_millis(50);

impl Mode {
    /// Lets some time pass.
    #[cfg(feature = "gateway")]
    pub(crate) async fn pause(self, time: Duration) {
        match self {
            Self::Blocking => std::thread::sleep(time),
            Self::Async => tokio::time::sleep(time).await,
            Self::Callback => {
                let over = std::future::pending::<()>();
                let _ = alarm::until(Instant::now() + time, over).await;
            }
        }
    }

    /// Runs blocking file work, which never waits for a lock.
    ///
    /// If the task is cancelled meanwhile, the work runs to its end, and its result is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let way = match self {
            Self::Blocking => return Ok(in_place::by_thread(work)),
            Self::Async => Way::Runtime(runtime()?),
            Self::Callback => Way::Ours,
        };
        match Task::start(work, &way).await {
            Outcome::Done(done) => Ok(done),
            Outcome::Late | Outcome::Refused => Err(shut_down()),
        }
    }

    /// Waits for something, until the deadline at most: `None` if that passes first. Not for a
    /// thread, which parks instead.
    pub(crate) async fn wait_until<T>(
        self,
        deadline: Option<Instant>,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        match (deadline, self) {
            (None, _) => Some(wait.await),
            (Some(deadline), Self::Callback) => alarm::until(deadline, wait).await,
            (Some(deadline), _) => tokio::time::timeout_at(deadline.into(), wait).await.ok(),
        }
    }

    /// Runs blocking file work that has a deadline: `None` if the disk has not answered by then.
    /// What comes late is dropped.
    ///
    /// A thread does the work itself, and so cannot keep a deadline, unless other work is known to
    /// be stuck, or the files are on a server.
    pub(crate) async fn run_until<T: Send + 'static>(
        self,
        deadline: Option<Instant>,
        disk: Disk,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>> {
        let Some(deadline) = deadline else { return self.run(work).await.map(Some) };
        if self == Self::Blocking && !disk.is_served() && !in_place::is_any_longer_than(STUCK) {
            return Ok(Some(in_place::by_thread(work)));
        }
        self.run_elsewhere(deadline, disk, work).await
    }

    /// Whether [`run_until`](Self::run_until) is certain to do work with this deadline on another
    /// thread, or the caller has no deadline.
    pub(crate) fn runs_elsewhere(self, deadline: Option<Instant>, disk: &Disk) -> bool {
        deadline.is_none() || self == Self::Async || disk.is_served()
    }

    /// The same on another thread, also for a thread.
    pub(crate) async fn run_elsewhere<T: Send + 'static>(
        self,
        deadline: Instant,
        disk: Disk,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>> {
        let way = match self {
            Self::Blocking | Self::Callback => Way::Ours,
            Self::Async => Way::Runtime(runtime()?),
        };
        let task = Task::start_on_disk(work, disk, &way, deadline);
        let outcome = match self {
            Self::Blocking => task::wait(task),
            Self::Async | Self::Callback => task.await,
        };
        match outcome {
            Outcome::Done(done) => Ok(Some(done)),
            Outcome::Late => Ok(None),
            Outcome::Refused => Err(shut_down()),
        }
    }

    /// Begins an operation that may have to wait.
    ///
    /// A task needs a runtime. It also yields to other tasks now and then, because the fast path
    /// never makes it wait.
    pub(crate) async fn begin(self) -> Result<()> {
        if self == Self::Async {
            runtime()?;
            tokio::task::consume_budget().await;
        }
        Ok(())
    }
}

fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|e| Error::Runtime { reason: e.to_string() })
}

fn shut_down() -> Error {
    Error::Runtime { reason: "it was shut down before the work began".into() }
}

/// Completes an operation in [`Mode::Blocking`], which is never pending.
pub(crate) fn now_or_never<F: Future>(operation: F) -> F::Output {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("an operation in blocking mode waits inside its poll"),
    }
}
