//! Waiting threads: for each contended lock, at most one thread per process blocks in the kernel,
//! on behalf of whoever is first in the queue when it is granted the lock.
//!
//! Waiters keep their deadlines themselves. If all of them gave up, the thread stays blocked. It
//! serves the next waiter who comes, or lets go at once when it is granted the lock.
//!
//! A thread that waits owns the stage of its queue (I12). It gives it to whoever is to wait in its
//! place, or to the grant that it makes; if it ends in any other way, the next waiter is called.

mod data_lock;
mod section;
mod turn_lock;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::queue::WaitingStage;
use crate::threads::Threads;

pub(super) use data_lock::for_data_lock;
pub(crate) use turn_lock::for_turn_lock;
pub(crate) use watch::watch_hold;

/// What an error says was attempted when no waiting thread can be had.
const START: &str = "start a waiting thread for";

/// How often something is looked at that wakes nobody: a foreign owner, a lease.
const LOOK: Duration = Duration::from_millis(10);

/// A session that was contended once soon is again.
static THREADS: Threads = Threads::new("turnlock-wait", usize::MAX, Duration::from_millis(50));

/// Starts a thread that waits, and gives it the stage. If none can be had, the stage comes back.
fn start<W, G>(
    stage: WaitingStage<W, G>,
    wait: impl FnOnce(WaitingStage<W, G>) + Send + 'static,
) -> Result<(), (WaitingStage<W, G>, io::Error)>
where
    W: Send + Sync + 'static,
    G: Send + 'static,
{
    // The thread's share of it is dropped if no thread can be started.
    let given = Arc::new(Mutex::new(Some(stage)));
    let taken = Arc::clone(&given);
    let started = THREADS.run(move || {
        let stage = taken.lock().take();
        if let Some(stage) = stage {
            wait(stage);
        }
    });
    let Err(error) = started else { return Ok(()) };
    let stage = given.lock().take();
    stage.map_or(Ok(()), |stage| Err((stage, error)))
}

/// Pauses before the next look. `None` if the thread has lost the stage.
fn pause<W, G>(stage: WaitingStage<W, G>) -> Option<WaitingStage<W, G>> {
    stage.pause(|| std::thread::sleep(LOOK))
}
