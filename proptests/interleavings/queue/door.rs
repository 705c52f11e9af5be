//! A kernel lock behind a queue, and turns and waiting threads that use the queue as the library's
//! do.

use std::sync::Arc;
use std::time::Instant;

use shuttle::rand::Rng;
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

use super::library::mode::Mode;
use super::library::queue::{Call, Ticket, WaitQueue};

pub(crate) struct Door {
    queue: Arc<WaitQueue<usize, Grant>>,
    /// Number of tries in which the kernel still says that somebody else has the lock.
    busy: AtomicUsize,
    held: AtomicBool,
    fails: AtomicBool,
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
        place.ticket.as_ref().unwrap().pass_to_thread();
        self.start_waiting();
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

    /// As `session::waiting::for_turn_lock`: whoever is first when the lock comes gets it.
    fn start_waiting(self: &Arc<Self>) {
        let door = Arc::clone(self);
        let thread = thread::spawn(move || {
            assert_eq!(
                door.threads.fetch_add(1, Ordering::SeqCst),
                0,
                "at most one thread waits in the kernel"
            );
            door.wait_in_kernel();
        });
        self.waiting.lock().unwrap().push(thread);
    }

    fn wait_in_kernel(self: &Arc<Self>) {
        while self.queue.keep_waiting() {
            thread::yield_now();
            if !self.try_kernel() {
                if shuttle::rand::thread_rng().gen_bool(0.5) && !self.pause() {
                    return;
                }
                continue;
            }
            let Some(waiter) = self.queue.take_first() else {
                self.held.store(false, Ordering::SeqCst);
                continue;
            };
            if shuttle::rand::thread_rng().gen_bool(0.2) {
                // As after a lock file that moved: nothing was had, the waiter keeps its place.
                self.queue.put_back(waiter);
                self.held.store(false, Ordering::SeqCst);
                continue;
            }
            self.threads.fetch_sub(1, Ordering::SeqCst);
            if self.fails.swap(false, Ordering::SeqCst) {
                self.threads.fetch_add(1, Ordering::SeqCst);
                self.held.store(false, Ordering::SeqCst);
                self.left(waiter.want);
                drop(waiter.grant(Err("the kernel is out of order")));
                continue;
            }
            self.queue.pass_to_grant();
            drop(waiter.grant(Ok(Grant { door: Arc::clone(self) })));
            return;
        }
        self.threads.fetch_sub(1, Ordering::SeqCst);
    }

    /// Like a wait for a foreign owner, who wakes nobody. Returns whether somebody still waits for
    /// this thread afterwards.
    fn pause(&self) -> bool {
        self.threads.fetch_sub(1, Ordering::SeqCst);
        if !self.queue.begin_pause() {
            return false;
        }
        thread::yield_now();
        let goes_on = self.queue.end_pause();
        if goes_on {
            assert_eq!(
                self.threads.fetch_add(1, Ordering::SeqCst),
                0,
                "at most one thread waits in the kernel"
            );
        }
        goes_on
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
        if let Some(waiter) = door.queue.take_first() {
            drop(waiter.grant(Ok(Grant { door: Arc::clone(door) })));
            return;
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
