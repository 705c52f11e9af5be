//! A first-come-first-served queue in front of one kernel lock.
//!
//! At most one waiter of a line is outside, at the kernel's door; all others wait here and cost neither a thread nor a descriptor. Who is
//! outside *owns the line's stage* and must pass it on: a [`Ticket`] that was called does so when it is dropped, a grant (a turn, a
//! data lock) when it ends.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::sync::{Arc, Condvar, Mutex};
use crate::error::Result;
use crate::mode::Mode;

/// What a line is doing at the kernel's door. Whoever put it there owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing; and nobody waits.
    Idle,
    /// A waiter has been called and tries for itself.
    Called,
    /// A thread waits in the kernel, for whoever is first when it gets there.
    Waiting,
    /// The thread rests before it looks again. If all who wait give up meanwhile, the stage is not its own any more.
    Resting,
    /// The lock is had, by a grant.
    Granted,
}

/// A queue in front of one kernel lock.
pub(crate) struct WaitQueue<W, G> {
    state: Mutex<State<W, G>>,
}

struct State<W, G> {
    stage: Stage,
    queue: VecDeque<Arc<Waiter<W, G>>>,
}

/// One waiter.
pub(crate) struct Waiter<W, G> {
    pub(crate) want: W,
    cell: Mutex<Cell<G>>,
    changed: Condvar,
}

enum Cell<G> {
    Queued(Waiting),
    Called,
    Granted(Result<G>),
    Gone,
}

/// How a waiter is to be woken.
#[derive(Default)]
struct Waiting {
    waker: Option<Waker>,
    /// The lock has come, and will be granted in a moment.
    alerted: bool,
}

/// For how long an alerted thread looks out for its grant before it sleeps again.
const LOOKOUT: Duration = Duration::from_micros(100);

/// What a waiter gets.
pub(crate) enum Call<G> {
    /// Its turn to try at the kernel's door.
    Go,
    /// The lock itself, or why it cannot be had.
    Granted(Result<G>),
}

impl<W, G> WaitQueue<W, G> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { stage: Stage::Idle, queue: VecDeque::new() }) })
    }

    /// Joins at the end; called at once if nobody is before.
    pub(crate) fn join(self: &Arc<Self>, want: W) -> Ticket<W, G> {
        let mut state = self.state.lock();
        let first = state.stage == Stage::Idle;
        let cell = if first { Cell::Called } else { Cell::Queued(Waiting::default()) };
        let waiter = Arc::new(Waiter { want, cell: Mutex::new(cell), changed: Condvar::new() });
        if first {
            state.stage = Stage::Called;
        } else {
            state.queue.push_back(Arc::clone(&waiter));
        }
        Ticket { line: Arc::clone(self), waiter }
    }

    /// The owner of the stage takes the first of the queue, to grant it the lock.
    pub(crate) fn next(&self) -> Option<Arc<Waiter<W, G>>> {
        self.state.lock().queue.pop_front()
    }

    /// The owner of the stage puts a waiter back to the front.
    pub(crate) fn put_back(&self, waiter: Arc<Waiter<W, G>>) {
        let mut state = self.state.lock();
        // One that has left meanwhile stays out.
        if matches!(*waiter.cell.lock(), Cell::Queued(_)) {
            state.queue.push_front(waiter);
        }
    }

    /// The owner of the stage says that the lock is had.
    pub(crate) fn granted(&self) {
        self.state.lock().stage = Stage::Granted;
    }

    /// The owner of the stage has let the lock go: the next is called, or the line is idle.
    pub(crate) fn advance(&self) {
        let mut state = self.state.lock();
        while let Some(waiter) = state.queue.pop_front() {
            if waiter.set(Cell::Called).is_ok() {
                state.stage = Stage::Called;
                return;
            }
        }
        state.stage = Stage::Idle;
    }

    /// The owner of the stage leaves it to a thread in the kernel; `false` if nobody waits, and then the line is idle.
    pub(crate) fn leave_to_kernel(&self) -> bool {
        let mut state = self.state.lock();
        state.stage = if state.queue.is_empty() { Stage::Idle } else { Stage::Waiting };
        state.stage == Stage::Waiting
    }

    /// The thread that owns the stage rests for a while; `false` if nobody waits, and then the line is idle.
    pub(crate) fn rest(&self) -> bool {
        let mut state = self.state.lock();
        state.stage = if state.queue.is_empty() { Stage::Idle } else { Stage::Resting };
        state.stage == Stage::Resting
    }

    /// A thread goes on after its rest; `false` if there is nothing to do for it. Of several that rest the first goes on.
    pub(crate) fn end_rest(&self) -> bool {
        let mut state = self.state.lock();
        let rests = state.stage == Stage::Resting;
        if rests {
            state.stage = Stage::Waiting;
        }
        rests
    }

    /// A waiter gave up. Whoever comes after the last one must not wait for the end of a rest.
    fn give_up(&self, gone: &Arc<Waiter<W, G>>) {
        let mut state = self.state.lock();
        state.queue.retain(|waiter| !Arc::ptr_eq(waiter, gone));
        if state.queue.is_empty() && state.stage == Stage::Resting {
            state.stage = Stage::Idle;
        }
    }

    /// The owner of the stage says that the lock has come, and that the first will have it in a moment.
    pub(crate) fn alert_first(&self) {
        if let Some(waiter) = self.state.lock().queue.front() {
            waiter.alert();
        }
    }

    /// Whether anybody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().queue.is_empty()
    }
}

impl<W, G> Waiter<W, G> {
    /// Gives the waiter its call; gives it back if the waiter is gone.
    fn set(&self, call: Cell<G>) -> Result<(), Cell<G>> {
        let mut cell = self.cell.lock();
        let Cell::Queued(waiting) = &mut *cell else { return Err(call) };
        let waker = waiting.waker.take();
        *cell = call;
        drop(cell);
        match waker {
            Some(waker) => waker.wake(),
            None => drop(self.changed.notify_one()),
        }
        Ok(())
    }

    /// Wakes a thread that sleeps, so that it is awake when the grant comes; a task needs no such start.
    fn alert(&self) {
        if let Cell::Queued(waiting @ Waiting { waker: None, .. }) = &mut *self.cell.lock() {
            waiting.alerted = true;
            self.changed.notify_one();
        }
    }

    fn look_out(&self) {
        let until = Instant::now() + LOOKOUT;
        while matches!(*self.cell.lock(), Cell::Queued(_)) && Instant::now() < until {
            std::thread::yield_now();
        }
    }

    /// Grants the lock, or says why it cannot be had; gives it back if the waiter is gone.
    pub(crate) fn grant(&self, grant: Result<G>) -> Result<(), Result<G>> {
        match self.set(Cell::Granted(grant)) {
            Err(Cell::Granted(grant)) => Err(grant),
            _ => Ok(()),
        }
    }

    fn take(&self) -> Option<Call<G>> {
        let mut cell = self.cell.lock();
        match &*cell {
            Cell::Queued(_) | Cell::Gone => None,
            // It stays called until the ticket is put to use or dropped.
            Cell::Called => Some(Call::Go),
            Cell::Granted(_) => match std::mem::replace(&mut *cell, Cell::Gone) {
                Cell::Granted(grant) => Some(Call::Granted(grant)),
                _ => None,
            },
        }
    }
}

/// A waiter's place in a line. Dropping it leaves the line as if it had never been there.
pub(crate) struct Ticket<W, G> {
    line: Arc<WaitQueue<W, G>>,
    waiter: Arc<Waiter<W, G>>,
}

impl<W, G> Ticket<W, G> {
    pub(crate) fn want(&self) -> &W {
        &self.waiter.want
    }

    /// Whether this waiter has been called to the kernel's door.
    pub(crate) fn is_called(&self) -> bool {
        matches!(*self.waiter.cell.lock(), Cell::Called)
    }

    /// This waiter, which was called, got the lock by itself: the grant owns the stage from now on.
    pub(crate) fn granted(&self) {
        *self.waiter.cell.lock() = Cell::Gone;
        self.line.granted();
    }

    /// This waiter, which was called, found the lock busy: it is the first in the queue for whom a thread waits in the kernel.
    pub(crate) fn wait_in_kernel(&self) {
        let mut state = self.line.state.lock();
        *self.waiter.cell.lock() = Cell::Queued(Waiting::default());
        state.queue.push_front(Arc::clone(&self.waiter));
        state.stage = Stage::Waiting;
    }

    /// Waits for the call; `None` when the deadline passes first.
    ///
    /// Cancel safe: the ticket keeps its place until it is dropped.
    pub(crate) async fn called(&self, mode: Mode, deadline: Option<Instant>) -> Option<Call<G>> {
        // Without a timer, if there is nothing to wait for.
        if let Some(call) = self.waiter.take() {
            return Some(call);
        }
        match mode {
            Mode::Blocking => self.park(deadline),
            Mode::Async => {
                let called = self.woken();
                match deadline {
                    None => Some(called.await),
                    Some(deadline) => tokio::time::timeout_at(deadline.into(), called).await.ok(),
                }
            }
        }
    }

    fn park(&self, deadline: Option<Instant>) -> Option<Call<G>> {
        loop {
            if let Some(call) = self.waiter.take() {
                return Some(call);
            }
            let mut cell = self.waiter.cell.lock();
            let Cell::Queued(waiting) = &mut *cell else { continue };
            if std::mem::take(&mut waiting.alerted) {
                drop(cell);
                self.waiter.look_out();
                continue;
            }
            match deadline {
                None => self.waiter.changed.wait(&mut cell),
                Some(deadline) => {
                    if self.waiter.changed.wait_until(&mut cell, deadline).timed_out()
                        && matches!(*cell, Cell::Queued(_))
                    {
                        return None;
                    }
                }
            }
        }
    }

    fn woken(&self) -> impl Future<Output = Call<G>> + '_ {
        poll_fn(|context| {
            if let Some(call) = self.waiter.take() {
                return Poll::Ready(call);
            }
            let mut cell = self.waiter.cell.lock();
            match &mut *cell {
                Cell::Queued(waiting) => waiting.waker = Some(context.waker().clone()),
                // The call came between; look again at once.
                _ => context.waker().wake_by_ref(),
            }
            Poll::Pending
        })
    }
}

impl<W, G> Drop for Ticket<W, G> {
    fn drop(&mut self) {
        let cell = std::mem::replace(&mut *self.waiter.cell.lock(), Cell::Gone);
        match cell {
            Cell::Queued(_) => self.line.give_up(&self.waiter),
            Cell::Called => self.line.advance(),
            // A grant that came too late ends here, and passes the lock on by itself.
            Cell::Granted(grant) => drop(grant),
            Cell::Gone => {}
        }
    }
}
