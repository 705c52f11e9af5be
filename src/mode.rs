//! The two kinds of callers, served by one body of code: tasks of a runtime, and threads that may block.
//!
//! Every operation is written once, as an `async fn` over a [`Mode`]. For a blocking mode nothing in it is ever pending, so that
//! [`now_or_never`] drives it with a single poll.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

use crate::error::{Error, Result};

/// Who calls, and so how to wait and where file work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A thread that may block: file work is done on it, waits park it.
    Blocking,
    /// A task of a tokio runtime: file work goes to the blocking pool, waits are wakers.
    Async,
}

impl Mode {
    /// Lets some time pass.
    #[cfg(feature = "gateway")]
    pub(crate) async fn pause(self, pause: std::time::Duration) {
        match self {
            Self::Blocking => std::thread::sleep(pause),
            Self::Async => tokio::time::sleep(pause).await,
        }
    }

    /// Does a piece of blocking file work, which never waits for a lock.
    ///
    /// A task that is cancelled meanwhile leaves the work running; its result is dropped when it ends.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        match self {
            Self::Blocking => Ok(work()),
            Self::Async => match runtime()?.spawn_blocking(work).await {
                Ok(done) => Ok(done),
                Err(stopped) if stopped.is_panic() => {
                    std::panic::resume_unwind(stopped.into_panic())
                }
                Err(stopped) => Err(Error::Runtime { reason: stopped.to_string() }),
            },
        }
    }

    /// Before an operation that may have to wait: a task needs a runtime around it, and lets other tasks run now and then, since what is done
    /// in place never makes it wait.
    pub(crate) async fn begin(self) -> Result<()> {
        if self == Self::Async {
            runtime()?;
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }
}

fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|e| Error::Runtime { reason: e.to_string() })
}

/// Drives an operation of a [`Mode::Blocking`], which is never pending.
pub(crate) fn now_or_never<F: Future>(operation: F) -> F::Output {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!(
            "an operation of a blocking mode waits inside its poll, it is never pending"
        ),
    }
}
