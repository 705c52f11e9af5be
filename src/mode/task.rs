//! Work that is done on another thread, and what becomes of it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::disk::{self, Disk};
use super::errand::Way;
use crate::keeper::{self, Alarm};
use crate::outside;

/// Work whose result somebody waits for.
struct Shared<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    phase: Phase<T>,
    waker: Option<Waker>,
}

enum Phase<T> {
    Queued(Box<dyn FnOnce() -> T + Send>),
    /// Since then.
    Running(Instant),
    Done(thread::Result<T>),
    /// Nobody can do it.
    Refused,
    /// Nobody wants the result any more.
    Over,
}

/// A task without the kind of its result.
pub(super) trait Perform: Send + Sync {
    /// Does the work, if it is still wanted.
    fn perform(&self);
    /// Tells that nobody can do it.
    fn refuse(&self);
}

impl<T: Send> Perform for Shared<T> {
    fn perform(&self) {
        let phase = {
            let mut state = self.state.lock();
            match &state.phase {
                Phase::Queued(_) => {
                    std::mem::replace(&mut state.phase, Phase::Running(Instant::now()))
                }
                _ => return,
            }
        };
        let Phase::Queued(work) = phase else { return };
        let done = catch_unwind(AssertUnwindSafe(|| outside::after(work)));
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Running(_)) {
            state.phase = Phase::Done(done);
            let waker = state.waker.take();
            drop(state);
            outside::wake(waker);
        } else {
            drop(state);
            // What comes late is let go.
            outside::after(|| outside::discard(done));
        }
    }

    fn refuse(&self) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Queued(_)) {
            return;
        }
        let work = std::mem::replace(&mut state.phase, Phase::Refused);
        let waker = state.waker.take();
        drop(state);
        outside::after(|| outside::discard(work));
        outside::wake(waker);
    }
}

/// How a task went.
pub(super) enum Outcome<T> {
    Done(T),
    /// The time is over.
    Late,
    /// Nobody could do it.
    Refused,
}

/// A task, as the one who waits for it has it.
///
/// Without a deadline, dropping it lets the work run to its end. With one, work that has not begun
/// never does.
pub(super) struct Task<T> {
    shared: Arc<Shared<T>>,
    limit: Option<Limit>,
}

/// The time that a task has.
struct Limit {
    deadline: Instant,
    disk: Disk,
    alarm: Option<Alarm>,
}

/// The time that a disk has to answer, also when a deadline is over. A disk that has done nothing
/// for so long does not answer; one that does is busy, and those whose turn has not come wait on.
const ANSWER: Duration = Duration::from_millis(250);
/// When to look again whether a disk that is late has answered.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A task on its way to a thread, which is refused if it does not get there.
struct OnItsWay(Arc<dyn Perform>);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.refuse();
    }
}

impl<T: Send + 'static> Task<T> {
    /// Starts work without a deadline.
    pub(super) fn start(work: impl FnOnce() -> T + Send + 'static, way: &Way) -> Self {
        let task = Self::new(work, None);
        let sent = OnItsWay(Arc::clone(&task.shared) as _);
        way.send(Box::new(move || sent.0.perform()));
        task
    }

    /// Starts work on a disk, with a deadline.
    pub(super) fn start_on_disk(
        work: impl FnOnce() -> T + Send + 'static,
        disk: Disk,
        way: &Way,
        deadline: Instant,
    ) -> Self {
        let limit = Limit { deadline, disk: disk.clone(), alarm: None };
        let task = Self::new(work, Some(limit));
        let weak: Weak<Shared<T>> = Arc::downgrade(&task.shared);
        disk::perform(disk, weak, way);
        task
    }

    fn new(work: impl FnOnce() -> T + Send + 'static, limit: Option<Limit>) -> Self {
        let state = State { phase: Phase::Queued(Box::new(work)), waker: None };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }), limit }
    }

    /// The outcome, if there is one; otherwise `waker` is woken once there is.
    fn outcome(&self, waker: Waker) -> Option<Outcome<T>> {
        let mut state = self.shared.state.lock();
        if let Phase::Done(_) | Phase::Refused = state.phase {
            let phase = std::mem::replace(&mut state.phase, Phase::Over);
            drop(state);
            return match phase {
                Phase::Done(Ok(done)) => Some(Outcome::Done(done)),
                Phase::Done(Err(panic)) => resume_unwind(panic),
                _ => Some(Outcome::Refused),
            };
        }
        let _old = state.waker.replace(waker);
        drop(state);
        None
    }

    /// Whether the disk has not answered in time. If that is still to be seen, whoever waits is
    /// woken to look again.
    fn is_late(&mut self) -> bool {
        let Some(limit) = &mut self.limit else { return false };
        let now = Instant::now();
        let mut look_again = limit.deadline;
        if limit.deadline <= now {
            let running_since = match self.shared.state.lock().phase {
                Phase::Running(since) => Some(since),
                _ => None,
            };
            let silence =
                running_since.map_or_else(|| disk::silence(&limit.disk), |since| since.elapsed());
            if silence >= ANSWER {
                return true;
            }
            look_again = now + LOOK_AGAIN;
        } else if limit.alarm.is_some() {
            return false;
        }
        let shared = Arc::downgrade(&self.shared);
        limit.alarm = Some(keeper::alarm(look_again, move || {
            let Some(shared) = shared.upgrade() else { return };
            let waker = shared.state.lock().waker.take();
            outside::wake(waker);
        }));
        false
    }
}

impl<T: Send + 'static> Future for Task<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        match self.outcome(context.waker().clone()) {
            Some(outcome) => Poll::Ready(outcome),
            None if self.is_late() => Poll::Ready(Outcome::Late),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let waker = state.waker.take();
        let may_begin = self.limit.is_none() && matches!(state.phase, Phase::Queued(_));
        let phase =
            if may_begin { None } else { Some(std::mem::replace(&mut state.phase, Phase::Over)) };
        drop(state);
        // Work that never begins, or a result that nobody wants.
        drop((waker, phase));
    }
}

/// Waits for a task on this thread.
pub(super) fn wait<T: Send + 'static>(task: Task<T>) -> Outcome<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut task = pin!(task);
    loop {
        if let Poll::Ready(outcome) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn disk(name: &str) -> Disk {
        Disk::Of(name.into())
    }

    #[test]
    fn what_is_done_in_time_is_had() {
        let task = Task::start_on_disk(|| 7, disk("in time"), &Way::Ours, late());
        assert!(matches!(wait(task), Outcome::Done(7)));
    }

    #[test]
    fn what_comes_late_is_dropped() {
        let (release, stuck) = channel::<()>();
        let (sender, dropped) = channel::<()>();
        let work = move || {
            let _ = stuck.recv();
            sender
        };
        let deadline = soon();
        let task = Task::start_on_disk(work, disk("late"), &Way::Ours, deadline);
        assert!(matches!(wait(task), Outcome::Late));
        assert!(dropped.try_recv().is_err_and(|e| e == std::sync::mpsc::TryRecvError::Empty));
        drop(release);
        assert!(dropped.recv().is_err(), "its result is gone");
    }

    #[test]
    fn a_disk_that_does_not_answer_keeps_few_threads_and_no_other_disk() {
        let (release, stuck) = channel::<()>();
        let stuck = Arc::new(std::sync::Mutex::new(stuck));
        let hang = || {
            let stuck = Arc::clone(&stuck);
            move || {
                let _ = stuck.lock().unwrap().recv();
            }
        };
        for _ in 0..5 {
            let deadline = soon();
            let ask = |_| Task::start_on_disk(hang(), disk("hung"), &Way::Ours, deadline);
            let tasks: Vec<_> = (0..50).map(ask).collect();
            for task in tasks {
                assert!(matches!(wait(task), Outcome::Late));
            }
        }
        assert!(Arc::strong_count(&stuck) <= 17, "what was not begun is gone");
        let task = Task::start_on_disk(|| 7, disk("other"), &Way::Ours, late());
        assert!(matches!(wait(task), Outcome::Done(7)));
        // Once the disk answers, it is used again.
        let waiting = Task::start_on_disk(|| 7, disk("hung"), &Way::Ours, late());
        drop(release);
        assert!(matches!(wait(waiting), Outcome::Done(7)));
    }

    #[test]
    fn a_panic_reaches_the_one_who_waits() {
        let panics: fn() = || panic!("on purpose");
        let task = Task::start_on_disk(panics, disk("panics"), &Way::Ours, late());
        assert!(catch_unwind(AssertUnwindSafe(|| wait(task))).is_err());
    }
}
