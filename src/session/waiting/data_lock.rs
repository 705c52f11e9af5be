//! The wait for the data lock.

use super::section::{Entered, enter};
use super::{START, start};
use crate::error::Error;
use crate::session::data_lock::SectionGrant;
use crate::session::queue::WaitingStage;
use crate::session::slot::SlotRef;

type Stage = WaitingStage<(), SectionGrant>;

/// Starts a thread that waits for the data lock, and leaves it the stage of the queue.
pub(in crate::session) fn for_data_lock(slot: &SlotRef, stage: Stage, create: bool) {
    let waiting = slot.clone();
    if let Err((stage, source)) = start(stage, move |stage| wait(&waiting, stage, create)) {
        let path = slot.place.session().to_owned();
        tell_first(&stage, Error::Io { action: START, path, source });
    }
}

/// The first waiter is told. The others try for themselves.
fn tell_first(stage: &Stage, error: Error) {
    if let Some(first) = stage.take_first() {
        drop(first.grant(Err(error)));
    }
}

fn wait(slot: &SlotRef, stage: Stage, create: bool) {
    let Some(stage) = stage.keep() else { return };
    let anew = slot.clone();
    let entered =
        enter(slot, create, stage, None, move |stage| for_data_lock(&anew, stage, create));
    match entered {
        None => {}
        Some(Entered { stage, section: Err(error), .. }) => tell_first(&stage, error),
        Some(Entered { stage, section: Ok(section), .. }) => {
            let queue = &slot.data_queue;
            stage.pass_to_grant();
            let mut grant = Ok(SectionGrant::new(section, queue));
            while let Some(first) = queue.take_first() {
                match first.grant(grant) {
                    Ok(()) => return,
                    Err(back) => grant = back,
                }
            }
            // A grant that nobody wants any more ends here, and the queue moves on.
        }
    }
}
