//! The wait for the turn lock.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{START, threads, watch};
use crate::datafile::Section;
use crate::error::{Error, Result};
use crate::lock::{
    Obstacle, Settled, ToWaitFor, Try, Waiting, open_to_wait, remove_stale, settle, try_take,
};
use crate::session::slot::SlotRef;
use crate::session::turn::Turn;

/// How often a foreign owner is looked at, who wakes nobody.
const FOREIGN_LOOK: Duration = Duration::from_millis(10);

/// Starts a thread that waits for the turn lock, and leaves it the stage of the queue.
pub(crate) fn for_turn_lock(slot: &SlotRef) {
    let waiting = slot.clone();
    if let Err(source) = threads::run(move || wait(&waiting)) {
        while let Some(waiter) = slot.turn_queue.take_first() {
            let source = io::Error::from(source.kind());
            drop(waiter.grant(Err(io_error(slot, START, source))));
        }
        slot.turn_queue.advance_without_thread();
    }
}

fn io_error(slot: &SlotRef, action: &'static str, source: io::Error) -> Error {
    Error::Io { action, path: slot.place.lock().to_owned(), source }
}

/// What the thread does after a step.
enum Next {
    Again,
    /// A foreign owner is in the way: it looks again after a pause.
    Pause,
    /// It ends. Somebody else owns the stage of the queue.
    End,
}

fn wait(slot: &SlotRef) {
    while slot.turn_queue.keep_waiting() {
        match step(slot) {
            Ok(Next::Again) => {}
            Ok(Next::Pause) if pause(slot) => {}
            Ok(Next::Pause | Next::End) => return,
            // The first waiter is told. The others meet the error themselves, or fare better.
            Err(error) => {
                if let Some(waiter) = slot.turn_queue.take_first() {
                    drop(waiter.grant(Err(error)));
                }
            }
        }
    }
}

/// Pauses. `false` if the thread has lost the stage.
fn pause(slot: &SlotRef) -> bool {
    if !slot.turn_queue.begin_pause() {
        return false;
    }
    std::thread::sleep(FOREIGN_LOOK);
    slot.turn_queue.end_pause()
}

/// Waits for the turn lock, then for the data lock (I15), and serves the first waiter.
fn step(slot: &SlotRef) -> Result<Next> {
    let granted = match open_to_wait(&slot.place)? {
        ToWaitFor::Nothing => None,
        ToWaitFor::Denied => return Ok(Next::Pause),
        ToWaitFor::Lock(lock) => match block(slot, lock)? {
            Some(granted) => Some(granted),
            None => return Ok(Next::End),
        },
    };
    serve(slot, granted, Section::wait(&slot.place, true)?)
}

/// Blocks in the kernel until the lock is granted. `None` if the wait was abandoned meanwhile.
fn block(slot: &SlotRef, lock: Waiting) -> Result<Option<Waiting>> {
    if slot.run_is_over() {
        lock.let_others_go_first();
    }
    let wait = Arc::new(watch::Wait::new(lock.pinned()));
    lock.announce();
    watch::watch_path(Arc::clone(&wait), slot.clone());
    let granted = lock.wait();
    if !wait.finish() {
        // Another thread waits on what the path names now. What this one waited for is obsolete.
        lock.let_go();
        return Ok(None);
    }
    granted.map_err(|source| io_error(slot, "wait for", source))?;
    slot.turn_queue.alert_first();
    lock.end();
    Ok(Some(lock))
}

/// Under the data lock, with the lock file's `flock` if there is a lock file: grants the turn to
/// the first waiter.
fn serve(slot: &SlotRef, granted: Option<Waiting>, mut section: Section) -> Result<Next> {
    let (place, queue) = (&slot.place, &slot.turn_queue);
    let Some(waiter) = queue.take_first() else {
        if let Some(lock) = granted {
            lock.let_go();
            remove_stale(place, &mut section, &Arc::default())?;
        }
        return Ok(Next::Again);
    };
    let settled = match granted {
        Some(lock) => settle(place, lock, &mut section, &waiter.want),
        None => try_take(place, &mut section, &waiter.want).map(|tried| match tried {
            Try::Held(lock) => Settled::Held(lock),
            Try::Busy(obstacle) => Settled::Obstacle(obstacle),
        }),
    };
    match settled {
        Ok(Settled::Held(lock)) => {
            queue.pass_to_grant();
            let turn = Turn::begin(slot.clone(), &waiter.want, lock, section);
            // If the waiter gave up just now, its turn ends here and passes the lock on.
            drop(waiter.grant(Ok(turn)));
            Ok(Next::End)
        }
        Ok(Settled::Moved | Settled::Obstacle(Obstacle::Kernel { .. })) => {
            queue.put_back(waiter);
            Ok(Next::Again)
        }
        Ok(Settled::Obstacle(_)) => {
            queue.put_back(waiter);
            Ok(Next::Pause)
        }
        Err(error) => {
            drop(waiter.grant(Err(error)));
            Ok(Next::Again)
        }
    }
}
