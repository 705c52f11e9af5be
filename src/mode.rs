//! One body of code for tasks of a runtime and for threads that may block.
//!
//! Every operation is written once, as an `async fn` over a [`Mode`]. In blocking mode nothing in
//! it is ever pending, so that [`now_or_never`] completes it with a single poll.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

use crate::error::{Error, Result};

/// How an operation waits, and where it does file work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For a thread that may block. File work is done on it, and waits park it.
    Blocking,
    /// For a task of a tokio runtime. File work goes to the blocking pool, and waits end with a
    /// waker.
    Async,
}

impl Mode {
    /// Lets some time pass.
    #[cfg(feature = "gateway")]
    pub(crate) async fn pause(self, time: std::time::Duration) {
        match self {
            Self::Blocking => std::thread::sleep(time),
            Self::Async => tokio::time::sleep(time).await,
        }
    }

    /// Runs blocking file work, which never waits for a lock.
    ///
    /// If the task is cancelled meanwhile, the work runs to its end, and its result is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        match self {
            Self::Blocking => Ok(work()),
            Self::Async => match runtime()?.spawn_blocking(work).await {
                Ok(done) => Ok(done),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(Error::Runtime { reason: error.to_string() }),
            },
        }
    }

    /// Begins an operation that may have to wait.
    ///
    /// A task needs a runtime. It also yields to other tasks now and then, because the fast path
    /// never makes it wait.
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

/// Completes an operation in [`Mode::Blocking`], which is never pending.
pub(crate) fn now_or_never<F: Future>(operation: F) -> F::Output {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("an operation in blocking mode waits inside its poll"),
    }
}
