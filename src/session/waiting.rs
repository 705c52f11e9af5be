//! Waiting: the one thread per contended path and process that blocks in the kernel, for whoever is first in the line when it gets there.
//!
//! Deadlines are kept by the waiters. If all of them gave up, the thread stays parked, serves the next one who comes, or lets go at once
//! when the lock comes to it.
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::data_queue::SectionGrant;
use super::slot::SlotRef;
use super::turn::Turn;
use crate::datafile::Section;
use crate::error::{Error, Result};
use crate::keeper;
use crate::lock::{
    Obstacle, Settled, ToWaitFor, Try, Waiting, open_to_wait, remove_stale, settle, try_take,
};
use crate::sys::FileId;

/// How often a foreign owner, who wakes nobody, is looked at.
const FOREIGN_LOOK: Duration = Duration::from_millis(10);
/// How soon, and at most how often, the path that a thread waits on is looked at.
const FIRST_WATCH: Duration = Duration::from_millis(20);
const WATCH: Duration = Duration::from_millis(100);
/// How often a turn is looked at behind which others of its process wait.
const WATCH_HOLD: Duration = Duration::from_millis(200);

/// Starts the thread that waits for the turn lock; the line's stage is left to it.
pub(crate) fn start(slot: &SlotRef) {
    let waiting = slot.clone();
    if let Err(source) = threads::send(move || wait(&waiting)) {
        let action = "start a waiting thread for";
        while let Some(waiter) = slot.turns.next() {
            let source = std::io::Error::from(source.kind());
            drop(waiter.grant(Err(Error::Io {
                action,
                path: slot.place.lock().to_owned(),
                source,
            })));
        }
        slot.turns.advance();
    }
}

/// Starts the thread that waits for the data lock; the line's stage is left to it.
pub(crate) fn start_for_data(slot: &SlotRef, create: bool) {
    let waiting = slot.clone();
    let wait = move || {
        let slot = waiting;
        let mut granted =
            Section::wait(&slot.place, create).map(|lock| SectionGrant::new(lock, &slot.data));
        let failed = granted.is_err();
        slot.data.granted();
        while let Some(waiter) = slot.data.next() {
            match waiter.grant(granted) {
                Ok(()) if failed => break,
                Ok(()) => return,
                Err(back) => granted = back,
            }
        }
        if failed {
            slot.data.advance();
        }
        // Nobody wants it any more: a grant that ends here moves the line on.
    };
    if let Err(source) = threads::send(wait) {
        if let Some(waiter) = slot.data.next() {
            let action = "start a waiting thread for";
            drop(waiter.grant(Err(Error::Io {
                action,
                path: slot.place.session().to_owned(),
                source,
            })));
        }
        slot.data.advance();
    }
}

/// What to do after a step.
enum Next {
    Again,
    /// A foreign owner is in the way.
    Pause,
    /// The line's stage is somebody else's now.
    Done,
}

fn wait(slot: &SlotRef) {
    while slot.turns.leave_to_kernel() {
        match step(slot) {
            Ok(Next::Again) => {}
            Ok(Next::Pause) => {
                if !slot.turns.rest() {
                    return;
                }
                std::thread::sleep(FOREIGN_LOOK);
                if !slot.turns.end_rest() {
                    return;
                }
            }
            Ok(Next::Done) => return,
            // Whoever is first hears of it; the others meet it themselves, or do better.
            Err(error) => {
                if let Some(waiter) = slot.turns.next() {
                    drop(waiter.grant(Err(error)));
                }
            }
        }
    }
}

fn step(slot: &SlotRef) -> Result<Next> {
    let granted = match open_to_wait(&slot.place)? {
        ToWaitFor::Nothing => None,
        ToWaitFor::Denied => return Ok(Next::Pause),
        ToWaitFor::Lock(lock) => {
            if slot.run_is_over() {
                lock.let_others_go_first();
            }
            let blocked = Arc::new(Blocked { state: AtomicU8::new(BLOCKED), id: lock.id() });
            lock.announce();
            watch_later(Arc::clone(&blocked), slot.clone(), FIRST_WATCH);
            let granted = lock.wait();
            if !blocked.change(CLAIMED) {
                // Another thread waits on the new file; this one was left to its fate, which is over.
                lock.let_go();
                return Ok(Next::Done);
            }
            granted.map_err(|e| failed(slot, e))?;
            slot.turns.alert_first();
            lock.end();
            Some(lock)
        }
    };
    serve(slot, granted, Section::wait(&slot.place, true)?)
}

fn failed(slot: &SlotRef, source: std::io::Error) -> Error {
    Error::Io { action: "wait for", path: slot.place.lock().to_owned(), source }
}

/// With the data lock, and the lock file's if there is one: grants the turn to the first in the line.
fn serve(slot: &SlotRef, granted: Option<Waiting>, mut data: Section) -> Result<Next> {
    let place = &slot.place;
    let Some(waiter) = slot.turns.next() else {
        if let Some(lock) = granted {
            lock.let_go();
            remove_stale(place, &mut data, &Arc::default())?;
        }
        return Ok(Next::Again);
    };
    let taken = match granted {
        Some(lock) => settle(place, lock, &data, &waiter.want),
        None => try_take(place, &data, &waiter.want).map(|tried| match tried {
            Try::Held(lock) => Settled::Held(lock),
            Try::Busy(obstacle) => Settled::Obstacle(obstacle),
        }),
    };
    match taken {
        Ok(Settled::Held(lock)) => {
            slot.turns.granted();
            let turn = Turn::begin(slot.clone(), &waiter.want, lock, data);
            // A waiter that gave up just now: its turn ends here, and passes the lock on.
            drop(waiter.grant(Ok(turn)));
            Ok(Next::Done)
        }
        Ok(Settled::Moved | Settled::Obstacle(Obstacle::Kernel { .. })) => {
            slot.turns.put_back(waiter);
            Ok(Next::Again)
        }
        Ok(Settled::Obstacle(_)) => {
            slot.turns.put_back(waiter);
            Ok(Next::Pause)
        }
        Err(error) => {
            drop(waiter.grant(Err(error)));
            Ok(Next::Again)
        }
    }
}

/// A thread that blocks in the kernel on one inode.
struct Blocked {
    state: AtomicU8,
    id: FileId,
}

const BLOCKED: u8 = 0;
const CLAIMED: u8 = 1;
const ABANDONED: u8 = 2;

impl Blocked {
    /// Either the thread claims what it got, or it is abandoned: whoever is first.
    fn change(&self, to: u8) -> bool {
        self.state.compare_exchange(BLOCKED, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A revoke or an `rm` puts another file at the path while the old holder, stopped perhaps for hours, keeps the old inode
/// locked: then the wait starts anew on what the path names (I12).
fn watch_later(blocked: Arc<Blocked>, slot: SlotRef, delay: Duration) {
    keeper::after(delay, move || {
        if blocked.state.load(Ordering::Acquire) != BLOCKED {
            return;
        }
        match slot.place.lock_id() {
            Ok(named) if named != Some(blocked.id) => {
                if blocked.change(ABANDONED) {
                    tracing::debug!(lock = %slot.place.lock().display(), "the lock file was replaced while waiting; waiting anew");
                    start(&slot);
                }
            }
            _ => watch_later(blocked, slot, (delay * 2).min(WATCH)),
        }
    });
}

/// The same for those who wait behind a turn of their own process, in which a task may hang: when its lock file is gone from
/// the path, the line moves on without it (I12).
pub(crate) fn watch_hold(slot: &SlotRef) {
    if !slot.watched.swap(true, Ordering::AcqRel) {
        watch_hold_later(slot.clone());
    }
}

fn watch_hold_later(slot: SlotRef) {
    keeper::after(WATCH_HOLD, move || {
        if slot.turns.is_empty() {
            slot.watched.store(false, Ordering::Release);
            // Somebody may have come just now.
            if !slot.turns.is_empty() {
                watch_hold(&slot);
            }
            return;
        }
        if slot.end_lost_hold() {
            tracing::warn!(lock = %slot.place.lock().display(), "a turn was lost while others of its process wait; they go on");
            slot.turns.advance();
        }
        watch_hold_later(slot);
    });
}
