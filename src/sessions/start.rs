//! An acquire that is started and calls back: for programs without a runtime of ours, as under
//! another language.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Acquire;
use crate::error::Result;
use crate::mode::{Driven, Mode, drive};
use crate::outside;
use crate::session::Turn;
use crate::threads::Threads;

static CALLBACKS: Threads = Threads::new("turnlock-callback", 16, Duration::from_secs(1));

/// An acquire that was started; see [`Acquire::start`]. Dropped, it goes on.
pub struct Ticket {
    driven: Driven,
    /// Whether it is settled who has the last word: the callback, or a cancel.
    settled: Arc<AtomicBool>,
}

impl Acquire {
    /// Waits for the turn in the background, and calls `callback` with it, or with the reason why
    /// it cannot be had. Takes no runtime, and no thread per waiter: thousands may wait.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let path = dir.path().join("4f2c.jsonl");
    /// let (sender, turns) = std::sync::mpsc::channel();
    /// let ticket = turnlock::Sessions::new().turn(&path).start(move |turn| {
    ///     let _ = sender.send(turn);
    /// });
    /// let turn = turns.recv().expect("an answer")?;
    /// assert!(!ticket.cancel(), "it was called");
    /// # turn.release_blocking()?;
    /// # Ok::<(), turnlock::Error>(())
    /// ```
    ///
    /// `callback` is called once, on a thread of this library, of which there are 16 for all
    /// callbacks: one that takes long should pass the turn on. It is not called after a
    /// [`cancel`](Ticket::cancel). If it panics, the turn is released, if it still has it.
    ///
    /// **Blocking**: none. The errors are those of [`acquire`](Self::acquire).
    pub fn start(self, callback: impl FnOnce(Result<Turn>) + Send + 'static) -> Ticket {
        let settled = Arc::new(AtomicBool::new(false));
        let is_cancelled = Arc::clone(&settled);
        let driven = drive(async move {
            let turn = self.acquire_as(Mode::Callback).await;
            if !is_cancelled.swap(true, Ordering::AcqRel) {
                call(callback, turn);
            }
        });
        Ticket { driven, settled }
    }
}

impl Ticket {
    /// Leaves the queue, as if it had never been there. Returns whether the callback will never be
    /// called: `false` if it was, or is about to be.
    ///
    /// **Blocking**: none.
    pub fn cancel(&self) -> bool {
        let is_first = !self.settled.swap(true, Ordering::AcqRel);
        if is_first {
            self.driven.cancel();
        }
        is_first
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_settled = self.settled.load(Ordering::Acquire);
        f.debug_struct("Ticket").field("is_settled", &is_settled).finish_non_exhaustive()
    }
}

/// Calls back on a thread of its own, if one can be had.
fn call(callback: impl FnOnce(Result<Turn>) + Send + 'static, turn: Result<Turn>) {
    // If no thread can be started, the job comes back to be done here.
    let job = Arc::new(parking_lot::Mutex::new(Some((callback, turn))));
    let taken = Arc::clone(&job);
    let run = move || {
        let job = taken.lock().take();
        if let Some((callback, turn)) = job {
            callback(turn);
        }
    };
    if CALLBACKS.run(run).is_err() {
        let job = job.lock().take();
        if let Some((callback, turn)) = job {
            outside::run(move || callback(turn));
        }
    }
}
