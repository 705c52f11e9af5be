//! The wait for the turn lock.

use std::io;

use super::section::{Entered, enter};
use super::watch::{self, Wait};
use super::{START, pause, start};
use crate::datafile::Section;
use crate::error::{Error, Result};
use crate::lock::{
    Obstacle, Settled, ToWaitFor, Try, Waiting, Want, open_to_wait, remove_stale, settle, try_take,
};
use crate::outside;
use crate::place::Place;
use crate::session::at_server;
use crate::session::queue::{First, WaitingStage};
use crate::session::slot::SlotRef;
use crate::session::turn::Turn;
use crate::sys::{self, filesystem};

type Stage = WaitingStage<Want, Turn>;

/// Starts a thread that waits for the turn lock, and leaves it the stage of the queue.
pub(crate) fn for_turn_lock(slot: &SlotRef, stage: Stage) {
    let waiting = slot.clone();
    if let Err((stage, source)) = start(stage, move |stage| wait(&waiting, stage)) {
        while let Some(first) = stage.take_first() {
            let source = io::Error::from(source.kind());
            drop(first.grant(Err(io_error(slot, START, source))));
        }
    }
}

/// Whether a server has given up what this host waited with. It is waited for anew.
fn is_given_up(slot: &SlotRef, error: &io::Error) -> bool {
    filesystem::is_served(slot.place.dir()) && sys::is_given_up(error)
}

fn io_error(slot: &SlotRef, action: &'static str, source: io::Error) -> Error {
    Error::Io { action, path: slot.place.lock().to_owned(), source }
}

/// What the thread does after a step.
enum Next {
    Again(Stage),
    /// Something is in the way that wakes nobody: it looks again after a pause.
    Pause(Stage),
    /// It ends. Somebody else owns the stage of the queue.
    End,
}

fn wait(slot: &SlotRef, stage: Stage) {
    let mut stage = Some(stage);
    while let Some(kept) = stage.and_then(Stage::keep) {
        stage = match step(slot, kept) {
            Next::Again(stage) => Some(stage),
            Next::Pause(stage) => pause(stage),
            Next::End => None,
        };
    }
}

/// The first waiter is told. The others meet the error themselves, or fare better.
fn tell_first(stage: Stage, error: Error) -> Next {
    if let Some(first) = stage.take_first() {
        drop(first.grant(Err(error)));
    }
    Next::Again(stage)
}

/// Waits for the turn lock, then for the data lock (I15), and serves the first waiter.
fn step(slot: &SlotRef, stage: Stage) -> Next {
    match open_to_wait(&slot.place) {
        Ok(ToWaitFor::Nothing) => begin(slot, stage, None),
        Ok(ToWaitFor::Denied) => Next::Pause(stage),
        Ok(ToWaitFor::Lock(lock)) if watch::may_block(&slot.place) => block(slot, stage, lock),
        Ok(ToWaitFor::Lock(lock)) => match lock.try_lock(&slot.place) {
            Ok(true) => begin(slot, stage, Some(lock)),
            Ok(false) => Next::Pause(stage),
            Err(error) => tell_first(stage, error),
        },
        Err(error) => tell_first(stage, error),
    }
}

/// Blocks in the kernel until the turn lock is granted.
fn block(slot: &SlotRef, stage: Stage, lock: Waiting) -> Next {
    if slot.run_is_over() {
        if slot.met_others() && filesystem::is_served(slot.place.dir()) {
            std::thread::sleep(at_server::PATIENCE / 3);
        }
        lock.let_others_go_first();
    }
    lock.announce();
    let anew = slot.clone();
    let wait = Wait::new(lock.pinned(), stage, None, move |stage| for_turn_lock(&anew, stage));
    let Some((waited, granted)) = watch::block(wait, slot, Place::compare_lock, || lock.wait())
    else {
        // Another thread waits on what the path names now. What this one waited for is obsolete.
        lock.let_go();
        return Next::End;
    };
    if let Err(source) = granted {
        if is_given_up(slot, &source) {
            lock.end();
            return Next::Pause(waited.stage);
        }
        return tell_first(waited.stage, io_error(slot, "wait for", source));
    }
    waited.stage.alert_first();
    lock.end();
    begin(slot, waited.stage, Some(lock))
}

/// With the lock file's `flock` if there is a lock file: takes the data lock, and serves the first
/// waiter.
fn begin(slot: &SlotRef, stage: Stage, lock: Option<Waiting>) -> Next {
    let anew = slot.clone();
    match enter(slot, true, stage, lock, move |stage| for_turn_lock(&anew, stage)) {
        None => Next::End,
        Some(Entered { stage, section: Err(error), .. }) => tell_first(stage, error),
        Some(Entered { stage, turn_lock, section: Ok(section) }) => {
            outside::after(|| serve(slot, stage, turn_lock, section))
        }
    }
}

/// Under the data lock: grants the turn to the first waiter. If the turn lock was let go in the
/// meantime, or if there was no lock file, it is only tried (I15).
fn serve(slot: &SlotRef, stage: Stage, granted: Option<Waiting>, mut section: Section) -> Next {
    let place = &slot.place;
    let Some(first) = stage.take_first() else {
        if let Some(lock) = granted {
            lock.let_go();
            if let Err(error) = remove_stale(place, &mut section, &std::sync::Arc::default()) {
                return tell_first(stage, error);
            }
        }
        return Next::Again(stage);
    };
    if !section.claim(&first.want().rules) {
        // It is held under another name (I17), whose release wakes nobody here. The waiter goes
        // back to the front.
        granted.into_iter().for_each(Waiting::let_go);
        return Next::Pause(stage);
    }
    match try_or_settle(slot, granted, &mut section, &first) {
        Ok(Settled::Held(lock)) => {
            stage.pass_to_grant();
            let turn = Turn::begin(slot.clone(), first.want(), lock, section);
            // If the waiter gave up just now, its turn ends here and passes the lock on.
            drop(first.grant(Ok(turn)));
            Next::End
        }
        // The waiter goes back to the front.
        Ok(Settled::Moved | Settled::Obstacle(Obstacle::Kernel { .. })) => Next::Again(stage),
        Ok(Settled::Obstacle(_)) => Next::Pause(stage),
        Err(error) => {
            drop(first.grant(Err(error)));
            Next::Again(stage)
        }
    }
}

fn try_or_settle(
    slot: &SlotRef,
    granted: Option<Waiting>,
    section: &mut Section,
    first: &First<Want, Turn>,
) -> Result<Settled> {
    match granted {
        Some(lock) => settle(&slot.place, lock, section, first.want()),
        None => Ok(match try_take(&slot.place, section, first.want())? {
            Try::Held(lock) => Settled::Held(lock),
            Try::Busy(obstacle) => Settled::Obstacle(obstacle),
        }),
    }
}
