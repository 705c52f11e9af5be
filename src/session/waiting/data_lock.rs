//! The wait for the data lock.

use super::{START, threads};
use crate::datafile::Section;
use crate::error::Error;
use crate::session::data_lock::SectionGrant;
use crate::session::slot::SlotRef;

/// Starts a thread that waits for the data lock, and leaves it the stage of the queue.
pub(in crate::session) fn for_data_lock(slot: &SlotRef, create: bool) {
    let waiting = slot.clone();
    if let Err(source) = threads::run(move || wait(&waiting, create)) {
        if let Some(waiter) = slot.data_queue.take_first() {
            let path = slot.place.session().to_owned();
            drop(waiter.grant(Err(Error::Io { action: START, path, source })));
        }
        slot.data_queue.advance_without_thread();
    }
}

fn wait(slot: &SlotRef, create: bool) {
    let queue = &slot.data_queue;
    let mut grant =
        Section::wait(&slot.place, create).map(|section| SectionGrant::new(section, queue));
    let failed = grant.is_err();
    queue.pass_to_grant();
    while let Some(waiter) = queue.take_first() {
        match waiter.grant(grant) {
            Ok(()) if failed => break,
            Ok(()) => return,
            Err(back) => grant = back,
        }
    }
    if failed {
        // An error passes nothing on. The next waiter tries for itself.
        queue.advance();
    }
    // A grant that nobody wants any more ends here, and the queue moves on.
}
