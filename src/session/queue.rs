//! A first-come-first-served queue in front of one kernel lock.
//!
//! At most one participant of a queue deals with the kernel. All others wait here, and cost neither
//! a thread nor a descriptor. Whoever deals with the kernel *owns the stage* of the queue and must
//! pass it on. Ownership is RAII: a called [`Ticket`] passes the stage on when it is dropped, so
//! does the [`WaitingStage`] of a waiting thread, and a grant (a turn, a data lock) when it ends.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::sync::{Arc, Condvar, Mutex, wake};
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
    /// Those who wait, by the order in which they joined.
    waiters: BTreeMap<u64, Arc<Waiter<W, G>>>,
    /// How many have joined so far.
    joined: u64,
}

/// The entry of one waiter in the queue.
pub(crate) struct Waiter<W, G> {
    /// Its place in the order. Whoever joins later has a higher one.
    number: u64,
    want: W,
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

    /// Calls the next waiter that has not left. If there is none, the queue is idle. Returns the
    /// waker to be woken once the mutex is free.
    fn call_next(&mut self) -> Option<Waker> {
        while let Some((_, waiter)) = self.waiters.pop_first() {
            if let Ok(waker) = waiter.set(Status::Called) {
                self.stage = Stage::Called;
                return waker;
            }
        }
        self.stage = Stage::Idle;
        None
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
        let state = State { stage: Stage::Idle, waiters: BTreeMap::new(), joined: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Joins at the end. If the queue is idle, the new waiter is called at once.
    pub(crate) fn join(self: &Arc<Self>, want: W) -> Ticket<W, G> {
        let mut state = self.state.lock();
        let is_idle = state.stage == Stage::Idle;
        let status = if is_idle { Status::Called } else { Status::Queued(Wakeup::default()) };
        let number = state.joined;
        state.joined += 1;
        let (status, changed) = (Mutex::new(status), Condvar::new());
        let waiter = Arc::new(Waiter { number, want, status, changed });
        if is_idle {
            debug_assert!(state.waiters.is_empty(), "join: somebody waits at an idle queue");
            state.stage = Stage::Called;
        } else {
            state.waiters.insert(number, Arc::clone(&waiter));
        }
        Ticket { queue: Arc::clone(self), waiter }
    }

    /// The owner of the stage takes the first waiter out of the queue, to grant it the lock.
    pub(crate) fn take_first(self: &Arc<Self>) -> Option<First<W, G>> {
        let mut state = self.state.lock();
        state.assert_stage("take_first", &[Stage::Waiting, Stage::Granted]);
        let (_, waiter) = state.waiters.pop_first()?;
        Some(First { queue: Arc::clone(self), waiter })
    }

    /// The owner of the stage puts a waiter back to the front.
    fn put_back(&self, waiter: &Arc<Waiter<W, G>>) {
        let mut state = self.state.lock();
        state.assert_stage("put_back", &[Stage::Waiting, Stage::Granted]);
        // A waiter that gave up meanwhile stays out.
        if matches!(*waiter.status.lock(), Status::Queued(_)) {
            state.waiters.insert(waiter.number, Arc::clone(waiter));
        }
    }

    /// Calls the next waiter, for an owner of one of these stages who is done. If nobody waits, the
    /// queue is idle.
    fn pass_on(&self, operation: &str, owned: Stage) {
        let mut state = self.state.lock();
        state.assert_stage(operation, &[owned]);
        let waker = state.call_next();
        drop(state);
        wake(waker);
    }

    /// A grant has let go of the lock: the next waiter is called. If nobody waits, the queue is
    /// idle.
    pub(crate) fn advance(&self) {
        self.pass_on("advance", Stage::Granted);
    }

    /// A grant has let go of the lock and passes the stage to a waiting thread, which the caller
    /// starts. `None` if nobody waits: the queue is idle, and no thread is needed.
    pub(crate) fn pass_to_thread(self: &Arc<Self>) -> Option<WaitingStage<W, G>> {
        let mut state = self.state.lock();
        state.assert_stage("pass_to_thread", &[Stage::Granted]);
        let is_wanted = state.leave_to_thread(Stage::Waiting);
        drop(state);
        is_wanted.then(|| WaitingStage::of(self))
    }

    /// A waiter gave up. If it was the last one, a newcomer must not wait for the end of a pause.
    fn remove(&self, gone: &Waiter<W, G>) {
        let mut state = self.state.lock();
        let _removed = state.waiters.remove(&gone.number);
        if state.waiters.is_empty() && state.stage == Stage::Paused {
            state.stage = Stage::Idle;
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().waiters.len()
    }
}

/// The stage of a queue in the hands of a waiting thread, or of whoever is about to start one.
/// Dropped, also by a panic, it calls the next waiter, who then tries for himself.
pub(crate) struct WaitingStage<W, G> {
    queue: Option<Arc<WaitQueue<W, G>>>,
}

impl<W, G> WaitingStage<W, G> {
    fn of(queue: &Arc<WaitQueue<W, G>>) -> Self {
        Self { queue: Some(Arc::clone(queue)) }
    }

    /// Goes on waiting, if anybody waits. `None` if nobody does: the queue is idle.
    pub(crate) fn keep(mut self) -> Option<Self> {
        let queue = self.queue.take()?;
        let is_wanted = {
            let mut state = queue.state.lock();
            state.assert_stage("keep", &[Stage::Waiting]);
            state.leave_to_thread(Stage::Waiting)
        };
        is_wanted.then(|| Self { queue: Some(queue) })
    }

    /// Pauses before the next look. `None` if nobody waits any more, or if all who did gave up
    /// during the pause: the queue is idle, or somebody else owns the stage.
    ///
    /// If several threads pause, the first to end its pause gets the stage.
    pub(crate) fn pause(mut self, pause: impl FnOnce()) -> Option<Self> {
        let queue = self.queue.take()?;
        let is_wanted = {
            let mut state = queue.state.lock();
            state.assert_stage("pause", &[Stage::Waiting]);
            state.leave_to_thread(Stage::Paused)
        };
        if !is_wanted {
            return None;
        }
        pause();
        let is_paused = {
            let mut state = queue.state.lock();
            let is_paused = state.stage == Stage::Paused;
            if is_paused {
                state.stage = Stage::Waiting;
            }
            is_paused
        };
        is_paused.then(|| Self { queue: Some(queue) })
    }

    /// The thread has the lock, and will grant it to the first waiter in a moment.
    pub(crate) fn alert_first(&self) {
        let Some(queue) = &self.queue else { return };
        let state = queue.state.lock();
        state.assert_stage("alert_first", &[Stage::Waiting]);
        if let Some((_, waiter)) = state.waiters.first_key_value() {
            waiter.alert();
        }
    }

    /// Takes the first waiter out of the queue, to grant it the lock.
    pub(crate) fn take_first(&self) -> Option<First<W, G>> {
        self.queue.as_ref()?.take_first()
    }

    /// The thread has the lock. The grant that it makes owns the stage from now on.
    pub(crate) fn pass_to_grant(mut self) {
        let Some(queue) = self.queue.take() else { return };
        let mut state = queue.state.lock();
        state.assert_stage("pass_to_grant", &[Stage::Waiting]);
        state.stage = Stage::Granted;
    }
}

impl<W, G> Drop for WaitingStage<W, G> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.pass_on("WaitingStage::drop", Stage::Waiting);
        }
    }
}

/// The first waiter, taken out of the queue by the owner of the stage. If it is granted nothing, it
/// is put back to the front.
pub(crate) struct First<W, G> {
    queue: Arc<WaitQueue<W, G>>,
    waiter: Arc<Waiter<W, G>>,
}

impl<W, G> First<W, G> {
    pub(crate) fn want(&self) -> &W {
        &self.waiter.want
    }

    /// Grants the lock, or says why it cannot be had. Returns the grant if the waiter is gone.
    pub(crate) fn grant(self, grant: Result<G>) -> Result<(), Result<G>> {
        match self.waiter.set(Status::Granted(grant)) {
            Ok(waker) => {
                wake(waker);
                Ok(())
            }
            Err(Status::Granted(grant)) => Err(grant),
            Err(_) => Ok(()),
        }
    }
}

impl<W, G> Drop for First<W, G> {
    fn drop(&mut self) {
        if self.waiter.is_queued() {
            self.queue.put_back(&self.waiter);
        }
    }
}

impl<W, G> Waiter<W, G> {
    /// Changes the status of a queued waiter. A thread is woken here; the waker of a task is
    /// returned, since it may run code of any kind, and is woken once no mutex is held. Returns
    /// `status` if the waiter is gone.
    fn set(&self, status: Status<G>) -> Result<Option<Waker>, Status<G>> {
        let mut current = self.status.lock();
        let Status::Queued(wakeup) = &mut *current else { return Err(status) };
        let waker = wakeup.waker.take();
        *current = status;
        drop(current);
        if waker.is_none() {
            self.changed.notify_one();
        }
        Ok(waker)
    }

    /// Wakes a sleeping thread, so that it is awake when the grant comes. A task gains nothing by
    /// that.
    fn alert(&self) {
        if let Status::Queued(wakeup @ Wakeup { waker: None, .. }) = &mut *self.status.lock() {
            wakeup.alerted = true;
            self.changed.notify_one();
        }
    }

    fn is_queued(&self) -> bool {
        matches!(*self.status.lock(), Status::Queued(_))
    }

    /// Stays awake until the call comes, for a limited time.
    fn stay_awake(&self) {
        let until = Instant::now() + AWAKE;
        while self.is_queued() && Instant::now() < until {
            std::thread::yield_now();
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
    pub(crate) fn pass_to_thread(&self) -> WaitingStage<W, G> {
        let mut state = self.queue.state.lock();
        state.assert_stage("Ticket::pass_to_thread", &[Stage::Called]);
        debug_assert!(self.is_called(), "Ticket::pass_to_thread: another ticket was called");
        *self.waiter.status.lock() = Status::Queued(Wakeup::default());
        state.waiters.insert(self.waiter.number, Arc::clone(&self.waiter));
        state.stage = Stage::Waiting;
        drop(state);
        WaitingStage::of(&self.queue)
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
            _ => mode.wait_until(deadline, self.woken()).await,
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
            // A waker is code of others: it is cloned and dropped while no mutex is held.
            let waker = context.waker().clone();
            let _old = match &mut *self.waiter.status.lock() {
                Status::Queued(wakeup) => wakeup.waker.replace(waker),
                _ => Some(waker),
            };
            // The call may have come in between.
            self.waiter.take_call().map_or(Poll::Pending, Poll::Ready)
        })
    }
}

impl<W, G> Drop for Ticket<W, G> {
    fn drop(&mut self) {
        let status = std::mem::replace(&mut *self.waiter.status.lock(), Status::Gone);
        match status {
            Status::Queued(_) => self.queue.remove(&self.waiter),
            Status::Called => self.queue.pass_on("Ticket::drop", Stage::Called),
            // A grant that came too late ends here, and passes the stage on by itself.
            Status::Granted(grant) => drop(grant),
            Status::Gone => {}
        }
    }
}
