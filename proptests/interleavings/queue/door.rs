//! A kernel lock behind a queue, and turns and waiting threads that use the queue as the library's
//! do.

use std::sync::Arc;
use std::time::Instant;

use shuttle::rand::Rng;
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

use super::library::mode::Mode;
use super::library::queue::{Call, Ticket, WaitQueue, WaitingStage};

type Stage = WaitingStage<usize, Grant>;

pub(crate) struct Door {
    queue: Arc<WaitQueue<usize, Grant>>,
    /// Number of tries in which the kernel still says that somebody else has the lock.
    busy: AtomicUsize,
    held: AtomicBool,
    fails: AtomicBool,
    has_no_threads: AtomicBool,
    /// Whether waits are abandoned now and then, and threads end with a panic.
    may_be_abandoned: AtomicBool,
    may_panic: AtomicBool,
    /// Those who joined and have neither been served nor left.
    order: Mutex<Vec<usize>>,
    waiting: Mutex<Vec<thread::JoinHandle<()>>>,
    threads: AtomicUsize,
}

/// The lock, held. Dropped, it passes itself on.
pub(crate) struct Grant {
    door: Arc<Door>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Served,
    TimedOut,
    Failed,
}

impl Door {
    pub(crate) fn new(busy: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: WaitQueue::new(),
            busy: AtomicUsize::new(busy),
            held: AtomicBool::new(false),
            fails: AtomicBool::new(false),
            has_no_threads: AtomicBool::new(false),
            may_be_abandoned: AtomicBool::new(false),
            may_panic: AtomicBool::new(false),
            order: Mutex::new(Vec::new()),
            waiting: Mutex::new(Vec::new()),
            threads: AtomicUsize::new(0),
        })
    }

    /// Joins, and notes in which order.
    pub(crate) fn join(self: &Arc<Self>, n: usize) -> Place {
        let mut order = self.order.lock().unwrap();
        let ticket = self.queue.join(n);
        order.push(n);
        Place { door: Arc::clone(self), n, ticket: Some(ticket) }
    }

    pub(crate) fn acquire(
        self: &Arc<Self>,
        mut place: Place,
        mode: Mode,
        deadline: Option<Instant>,
    ) -> Outcome {
        loop {
            let ticket = place.ticket.as_ref().unwrap();
            let call = shuttle::future::block_on(ticket.wait_for_call(mode, deadline));
            match self.meet(&mut place, call) {
                Some(outcome) => return outcome,
                None => continue,
            }
        }
    }

    pub(crate) async fn acquire_async(self: &Arc<Self>, mut place: Place) -> Outcome {
        loop {
            let call = place.ticket.as_ref().unwrap().wait_for_call(Mode::Async, None).await;
            if let Some(outcome) = self.meet(&mut place, call) {
                return outcome;
            }
        }
    }

    fn meet(self: &Arc<Self>, place: &mut Place, call: Option<Call<Grant>>) -> Option<Outcome> {
        match call {
            None => Some(Outcome::TimedOut),
            Some(Call::Granted(Err(_))) => Some(Outcome::Failed),
            Some(Call::Granted(Ok(grant))) => {
                self.served(place.n);
                drop(grant);
                Some(Outcome::Served)
            }
            Some(Call::Attempt) => self.attempt(place),
        }
    }

    /// As `sessions::acquire::attempt`: the kernel lock is free, or a thread waits for it.
    fn attempt(self: &Arc<Self>, place: &mut Place) -> Option<Outcome> {
        if self.try_kernel() {
            let ticket = place.ticket.take().unwrap();
            assert_eq!(*ticket.want(), place.n);
            ticket.pass_to_grant();
            let grant = Grant { door: Arc::clone(self) };
            self.served(place.n);
            drop(grant);
            return Some(Outcome::Served);
        }
        let stage = place.ticket.as_ref().unwrap().pass_to_thread();
        self.start_waiting(stage);
        None
    }

    fn try_kernel(&self) -> bool {
        if self
            .busy
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |busy| busy.checked_sub(1))
            .is_ok()
        {
            return false;
        }
        !self.held.swap(true, Ordering::SeqCst)
    }

    /// As `session::waiting::for_turn_lock`: whoever is first when the lock comes gets it. No
    /// thread may be to be had.
    fn start_waiting(self: &Arc<Self>, stage: Stage) {
        if self.has_no_threads.swap(false, Ordering::SeqCst) {
            if let Some(first) = stage.take_first() {
                let n = *first.want();
                self.left(n);
                drop(first.grant(Err("no thread can be had")));
            }
            return;
        }
        let door = Arc::clone(self);
        let thread = thread::spawn(move || {
            assert_eq!(
                door.threads.fetch_add(1, Ordering::SeqCst),
                0,
                "at most one thread waits in the kernel"
            );
            door.wait_in_kernel(stage);
        });
        self.waiting.lock().unwrap().push(thread);
    }

    fn wait_in_kernel(self: &Arc<Self>, stage: Stage) {
        let mut stage = Some(stage);
        loop {
            // The stage may be another thread's as soon as it is given away.
            self.threads.fetch_sub(1, Ordering::SeqCst);
            let Some(kept) = stage.take().and_then(Stage::keep) else { return };
            self.threads.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            if self.is_abandoned() {
                // As the keeper does when what is waited for has lost its name.
                self.threads.fetch_sub(1, Ordering::SeqCst);
                return self.start_waiting(kept);
            }
            if self.panics() {
                // Its thread ends, and the next waiter is called.
                self.threads.fetch_sub(1, Ordering::SeqCst);
                return drop(kept);
            }
            if !self.try_kernel() {
                stage = if shuttle::rand::thread_rng().gen_bool(0.5) {
                    self.pause(kept)
                } else {
                    Some(kept)
                };
                if stage.is_none() {
                    return;
                }
                continue;
            }
            let Some(first) = kept.take_first() else {
                self.held.store(false, Ordering::SeqCst);
                stage = Some(kept);
                continue;
            };
            if shuttle::rand::thread_rng().gen_bool(0.2) {
                // As after a lock file that moved, or after a panic: nothing was had, the waiter
                // keeps its place.
                drop(first);
                self.held.store(false, Ordering::SeqCst);
                stage = Some(kept);
                continue;
            }
            if self.fails.swap(false, Ordering::SeqCst) {
                self.held.store(false, Ordering::SeqCst);
                self.left(*first.want());
                drop(first.grant(Err("the kernel is out of order")));
                stage = Some(kept);
                continue;
            }
            self.threads.fetch_sub(1, Ordering::SeqCst);
            kept.pass_to_grant();
            drop(first.grant(Ok(Grant { door: Arc::clone(self) })));
            return;
        }
    }

    fn is_abandoned(&self) -> bool {
        self.may_be_abandoned.load(Ordering::SeqCst) && shuttle::rand::thread_rng().gen_bool(0.2)
    }

    fn panics(&self) -> bool {
        self.may_panic.load(Ordering::SeqCst) && shuttle::rand::thread_rng().gen_bool(0.2)
    }

    /// Like a wait for a foreign owner, who wakes nobody. The stage, if somebody still waits for
    /// this thread afterwards.
    fn pause(&self, stage: Stage) -> Option<Stage> {
        self.threads.fetch_sub(1, Ordering::SeqCst);
        let stage = stage.pause(thread::yield_now)?;
        assert_eq!(
            self.threads.fetch_add(1, Ordering::SeqCst),
            0,
            "at most one thread waits in the kernel"
        );
        Some(stage)
    }

    /// First come, first served: nobody who joined before is still waiting.
    fn served(&self, n: usize) {
        assert!(self.held.load(Ordering::SeqCst));
        let mut order = self.order.lock().unwrap();
        assert_eq!(order.first(), Some(&n), "served before one who came first");
        order.remove(0);
    }

    fn left(&self, n: usize) {
        self.order.lock().unwrap().retain(|other| *other != n);
    }

    pub(crate) fn fail_once(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    pub(crate) fn have_no_thread_once(&self) {
        self.has_no_threads.store(true, Ordering::SeqCst);
    }

    pub(crate) fn abandon_waits(&self) {
        self.may_be_abandoned.store(true, Ordering::SeqCst);
    }

    pub(crate) fn let_threads_panic(&self) {
        self.may_panic.store(true, Ordering::SeqCst);
    }

    pub(crate) fn join_waiting_threads(&self) {
        loop {
            let Some(thread) = self.waiting.lock().unwrap().pop() else { return };
            thread.join().unwrap();
        }
    }

    pub(crate) fn assert_idle(self: &Arc<Self>) {
        assert!(!self.held.load(Ordering::SeqCst), "the lock is let go");
        assert!(self.queue.is_empty(), "nobody is forgotten");
        let ticket = self.queue.join(99);
        assert!(ticket.is_called(), "the queue is idle: a newcomer is called at once");
    }
}

impl Drop for Grant {
    /// As the release of a turn: handed over to the next, or let go, and then the next is called.
    fn drop(&mut self) {
        let door = &self.door;
        assert!(door.held.load(Ordering::SeqCst), "one holder");
        if let Some(first) = door.queue.take_first() {
            if shuttle::rand::thread_rng().gen_bool(0.2) {
                // As when the record could not be rewritten: the waiter keeps its place.
                drop(first);
            } else {
                drop(first.grant(Ok(Grant { door: Arc::clone(door) })));
                return;
            }
        }
        door.held.store(false, Ordering::SeqCst);
        door.queue.advance();
    }
}

/// A ticket whose leaving is noted.
pub(crate) struct Place {
    door: Arc<Door>,
    n: usize,
    ticket: Option<Ticket<usize, Grant>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Noted before: from then on others may be served.
        self.door.left(self.n);
        drop(self.ticket.take());
    }
}
