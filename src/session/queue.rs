//! A first-come-first-served queue in front of one kernel lock.
//!
//! At most one participant of a queue deals with the kernel. All others wait here, and cost neither
//! a thread nor a descriptor. Whoever deals with the kernel *owns the stage* of the queue and must
//! pass it on. Ownership is RAII: a called [`Ticket`] passes the stage on when it is dropped, and a
//! grant (a turn, a data lock) when it ends.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::sync::{Arc, Condvar, Mutex};
use crate::error::Result;
use crate::mode::Mode;

/// Who deals with the kernel, and so owns the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody, and nobody waits.
    Idle,
    /// The ticket that was called: its waiter tries the lock itself.
    Called,
    /// A waiting thread, on behalf of whoever is first when it is granted the lock.
    Waiting,
    /// A waiting thread that pauses before it looks again. It loses the stage if all waiters give
    /// up meanwhile.
    Paused,
    /// The grant, which has the lock.
    Granted,
}

/// A queue in front of one kernel lock.
pub(crate) struct WaitQueue<W, G> {
    state: Mutex<State<W, G>>,
}

struct State<W, G> {
    stage: Stage,
    waiters: VecDeque<Arc<Waiter<W, G>>>,
}

/// The entry of one waiter in the queue.
pub(crate) struct Waiter<W, G> {
    pub(crate) want: W,
    status: Mutex<Status<G>>,
    changed: Condvar,
}

/// What has become of a waiter so far.
enum Status<G> {
    Queued(Wakeup),
    Called,
    Granted(Result<G>),
    /// It left, or took what it was granted.
    Gone,
}

/// How to wake a queued waiter.
#[derive(Default)]
struct Wakeup {
    /// A task's waker. A thread has none and sleeps on the condition variable.
    waker: Option<Waker>,
    /// The lock has arrived and will be granted in a moment.
    alerted: bool,
}

/// How long an alerted thread stays awake for its grant before it sleeps again.
const AWAKE: Duration = Duration::from_micros(100);

/// What a waiter waits for.
pub(crate) enum Call<G> {
    /// It is first, and is to try the kernel lock itself.
    Attempt,
    /// It is granted the lock, or told why the lock cannot be had.
    Granted(Result<G>),
}

impl<W, G> State<W, G> {
    /// Asserts that the stage is one of those in which the caller of `operation` can own it.
    #[track_caller]
    fn assert_stage(&self, operation: &str, expected: &[Stage]) {
        debug_assert!(
            expected.contains(&self.stage),
            "{operation}: the stage is {:?}, but must be one of {expected:?}",
            self.stage
        );
    }

    /// Calls the next waiter that has not left. If there is none, the queue is idle.
    fn call_next(&mut self) {
        self.stage = Stage::Idle;
        while let Some(waiter) = self.waiters.pop_front() {
            if waiter.set(Status::Called).is_ok() {
                self.stage = Stage::Called;
                return;
            }
        }
    }

    /// Passes the stage to a waiting thread in `stage`. `false` if nobody waits: the queue is idle.
    fn leave_to_thread(&mut self, stage: Stage) -> bool {
        let is_wanted = !self.waiters.is_empty();
        self.stage = if is_wanted { stage } else { Stage::Idle };
        is_wanted
    }
}

impl<W, G> WaitQueue<W, G> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { stage: Stage::Idle, waiters: VecDeque::new() }) })
    }

    /// Joins at the end. If the queue is idle, the new waiter is called at once.
    pub(crate) fn join(self: &Arc<Self>, want: W) -> Ticket<W, G> {
        let mut state = self.state.lock();
        let is_idle = state.stage == Stage::Idle;
        let status = if is_idle { Status::Called } else { Status::Queued(Wakeup::default()) };
        let waiter = Arc::new(Waiter { want, status: Mutex::new(status), changed: Condvar::new() });
        if is_idle {
            debug_assert!(state.waiters.is_empty(), "join: somebody waits at an idle queue");
            state.stage = Stage::Called;
        } else {
            state.waiters.push_back(Arc::clone(&waiter));
        }
        Ticket { queue: Arc::clone(self), waiter }
    }

    /// The owner of the stage takes the first waiter out of the queue, to grant it the lock.
    pub(crate) fn take_first(&self) -> Option<Arc<Waiter<W, G>>> {
        let mut state = self.state.lock();
        state.assert_stage("take_first", &[Stage::Waiting, Stage::Granted]);
        state.waiters.pop_front()
    }

    /// The owner of the stage puts a waiter back to the front.
    pub(crate) fn put_back(&self, waiter: Arc<Waiter<W, G>>) {
        let mut state = self.state.lock();
        state.assert_stage("put_back", &[Stage::Waiting, Stage::Granted]);
        // A waiter that gave up meanwhile stays out.
        if matches!(*waiter.status.lock(), Status::Queued(_)) {
            state.waiters.push_front(waiter);
        }
    }

    /// A waiting thread has the lock. The grant that it makes owns the stage from now on.
    pub(crate) fn pass_to_grant(&self) {
        let mut state = self.state.lock();
        state.assert_stage("pass_to_grant", &[Stage::Waiting]);
        state.stage = Stage::Granted;
    }

    /// A grant has let go of the lock: the next waiter is called. If nobody waits, the queue is
    /// idle.
    pub(crate) fn advance(&self) {
        let mut state = self.state.lock();
        state.assert_stage("advance", &[Stage::Granted]);
        state.call_next();
    }

    /// The called ticket is dropped: the next waiter is called.
    fn advance_without_ticket(&self) {
        let mut state = self.state.lock();
        state.assert_stage("advance_without_ticket", &[Stage::Called]);
        state.call_next();
    }

    /// No waiting thread can be had: the next waiter is called, to try for itself.
    pub(crate) fn advance_without_thread(&self) {
        let mut state = self.state.lock();
        state.assert_stage("advance_without_thread", &[Stage::Waiting]);
        state.call_next();
    }

    /// A grant has let go of the lock and passes the stage to a waiting thread, which the caller
    /// starts. `false` if nobody waits: the queue is idle, and no thread is needed.
    pub(crate) fn pass_to_thread(&self) -> bool {
        let mut state = self.state.lock();
        state.assert_stage("pass_to_thread", &[Stage::Granted]);
        state.leave_to_thread(Stage::Waiting)
    }

    /// Whether a waiting thread is to go on waiting. `false` if nobody waits: the queue is idle,
    /// and the thread has lost the stage.
    pub(crate) fn keep_waiting(&self) -> bool {
        let mut state = self.state.lock();
        state.assert_stage("keep_waiting", &[Stage::Waiting]);
        state.leave_to_thread(Stage::Waiting)
    }

    /// A waiting thread is about to pause. `false` if nobody waits: the queue is idle, and the
    /// thread has lost the stage.
    pub(crate) fn begin_pause(&self) -> bool {
        let mut state = self.state.lock();
        state.assert_stage("begin_pause", &[Stage::Waiting]);
        state.leave_to_thread(Stage::Paused)
    }

    /// A waiting thread ends its pause. `false` if it has lost the stage meanwhile. If several
    /// threads pause, the first to end its pause gets the stage.
    pub(crate) fn end_pause(&self) -> bool {
        let mut state = self.state.lock();
        let is_paused = state.stage == Stage::Paused;
        if is_paused {
            state.stage = Stage::Waiting;
        }
        is_paused
    }

    /// A waiter gave up. If it was the last one, a newcomer must not wait for the end of a pause.
    fn remove(&self, gone: &Arc<Waiter<W, G>>) {
        let mut state = self.state.lock();
        state.waiters.retain(|waiter| !Arc::ptr_eq(waiter, gone));
        if state.waiters.is_empty() && state.stage == Stage::Paused {
            state.stage = Stage::Idle;
        }
    }

    /// A waiting thread has the lock, and will grant it to the first waiter in a moment.
    pub(crate) fn alert_first(&self) {
        let state = self.state.lock();
        state.assert_stage("alert_first", &[Stage::Waiting]);
        if let Some(waiter) = state.waiters.front() {
            waiter.alert();
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().waiters.is_empty()
    }
}

impl<W, G> Waiter<W, G> {
    /// Changes the status of a queued waiter and wakes it. Returns `status` if the waiter is gone.
    fn set(&self, status: Status<G>) -> Result<(), Status<G>> {
        let mut current = self.status.lock();
        let Status::Queued(wakeup) = &mut *current else { return Err(status) };
        let waker = wakeup.waker.take();
        *current = status;
        drop(current);
        match waker {
            Some(waker) => waker.wake(),
            None => drop(self.changed.notify_one()),
        }
        Ok(())
    }

    /// Wakes a sleeping thread, so that it is awake when the grant comes. A task gains nothing by
    /// that.
    fn alert(&self) {
        if let Status::Queued(wakeup @ Wakeup { waker: None, .. }) = &mut *self.status.lock() {
            wakeup.alerted = true;
            self.changed.notify_one();
        }
    }

    /// Stays awake until the call comes, for a limited time.
    fn stay_awake(&self) {
        let until = Instant::now() + AWAKE;
        while matches!(*self.status.lock(), Status::Queued(_)) && Instant::now() < until {
            std::thread::yield_now();
        }
    }

    /// Grants the lock, or says why it cannot be had. Returns the grant if the waiter is gone.
    pub(crate) fn grant(&self, grant: Result<G>) -> Result<(), Result<G>> {
        match self.set(Status::Granted(grant)) {
            Err(Status::Granted(grant)) => Err(grant),
            _ => Ok(()),
        }
    }

    fn take_call(&self) -> Option<Call<G>> {
        let mut status = self.status.lock();
        match &*status {
            Status::Queued(_) | Status::Gone => None,
            // It stays called until the ticket is used or dropped.
            Status::Called => Some(Call::Attempt),
            Status::Granted(_) => match std::mem::replace(&mut *status, Status::Gone) {
                Status::Granted(grant) => Some(Call::Granted(grant)),
                _ => None,
            },
        }
    }
}

/// A waiter's own place in a queue. Dropping it leaves the queue as if it had never been there.
pub(crate) struct Ticket<W, G> {
    queue: Arc<WaitQueue<W, G>>,
    waiter: Arc<Waiter<W, G>>,
}

impl<W, G> Ticket<W, G> {
    pub(crate) fn want(&self) -> &W {
        &self.waiter.want
    }

    /// Whether this waiter has been called, and so owns the stage.
    pub(crate) fn is_called(&self) -> bool {
        matches!(*self.waiter.status.lock(), Status::Called)
    }

    /// This waiter, which was called, has the lock. The grant that it makes owns the stage from
    /// now on.
    pub(crate) fn pass_to_grant(&self) {
        let mut state = self.queue.state.lock();
        state.assert_stage("Ticket::pass_to_grant", &[Stage::Called]);
        debug_assert!(self.is_called(), "Ticket::pass_to_grant: another ticket was called");
        *self.waiter.status.lock() = Status::Gone;
        state.stage = Stage::Granted;
    }

    /// This waiter, which was called, found the lock busy. It goes back to the front of the queue,
    /// and passes the stage to a waiting thread, which the caller starts.
    pub(crate) fn pass_to_thread(&self) {
        let mut state = self.queue.state.lock();
        state.assert_stage("Ticket::pass_to_thread", &[Stage::Called]);
        debug_assert!(self.is_called(), "Ticket::pass_to_thread: another ticket was called");
        *self.waiter.status.lock() = Status::Queued(Wakeup::default());
        state.waiters.push_front(Arc::clone(&self.waiter));
        state.stage = Stage::Waiting;
    }

    /// Waits for the call; `None` if the deadline passes first.
    ///
    /// Cancel safe: the ticket keeps its place until it is dropped.
    pub(crate) async fn wait_for_call(
        &self,
        mode: Mode,
        deadline: Option<Instant>,
    ) -> Option<Call<G>> {
        // A call that is there already needs no timer.
        if let Some(call) = self.waiter.take_call() {
            return Some(call);
        }
        match mode {
            Mode::Blocking => self.park(deadline),
            Mode::Async => {
                let call = self.woken();
                match deadline {
                    None => Some(call.await),
                    Some(deadline) => tokio::time::timeout_at(deadline.into(), call).await.ok(),
                }
            }
        }
    }

    fn park(&self, deadline: Option<Instant>) -> Option<Call<G>> {
        loop {
            if let Some(call) = self.waiter.take_call() {
                return Some(call);
            }
            let mut status = self.waiter.status.lock();
            let Status::Queued(wakeup) = &mut *status else { continue };
            if std::mem::take(&mut wakeup.alerted) {
                drop(status);
                self.waiter.stay_awake();
                continue;
            }
            match deadline {
                None => self.waiter.changed.wait(&mut status),
                Some(deadline) => {
                    if self.waiter.changed.wait_until(&mut status, deadline).timed_out()
                        && matches!(*status, Status::Queued(_))
                    {
                        return None;
                    }
                }
            }
        }
    }

    fn woken(&self) -> impl Future<Output = Call<G>> + '_ {
        poll_fn(|context| {
            if let Some(call) = self.waiter.take_call() {
                return Poll::Ready(call);
            }
            let mut status = self.waiter.status.lock();
            match &mut *status {
                Status::Queued(wakeup) => wakeup.waker = Some(context.waker().clone()),
                // The call came in between: poll again at once.
                _ => context.waker().wake_by_ref(),
            }
            Poll::Pending
        })
    }
}

impl<W, G> Drop for Ticket<W, G> {
    fn drop(&mut self) {
        let status = std::mem::replace(&mut *self.waiter.status.lock(), Status::Gone);
        match status {
            Status::Queued(_) => self.queue.remove(&self.waiter),
            Status::Called => self.queue.advance_without_ticket(),
            // A grant that came too late ends here, and passes the stage on by itself.
            Status::Granted(grant) => drop(grant),
            Status::Gone => {}
        }
    }
}
