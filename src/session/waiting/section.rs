//! How a waiting thread gets the data lock, for either queue.

use super::pause;
use super::watch::{self, Wait};
use crate::datafile::{Section, WaitingFile};
use crate::error::{Context, Result};
use crate::lock::Waiting;
use crate::place::Place;
use crate::session::queue::WaitingStage;
use crate::session::slot::SlotRef;
use crate::sys::{self, filesystem};

/// A thread has the data lock, or there was an error.
pub(super) struct Entered<W, G> {
    pub(super) stage: WaitingStage<W, G>,
    /// The turn lock that the thread had before, unless it had to let go of it.
    pub(super) turn_lock: Option<Waiting>,
    pub(super) section: Result<Section>,
}

/// Waits for the data lock. `None` if the thread has lost the stage: nobody waits any more, or the
/// file that it waited for has lost its name, and another thread waits `anew`.
///
/// The turn lock is kept for a limited time only (I12).
pub(super) fn enter<W, G>(
    slot: &SlotRef,
    create: bool,
    stage: WaitingStage<W, G>,
    turn_lock: Option<Waiting>,
    anew: impl Fn(WaitingStage<W, G>) + Clone + Send + Sync + 'static,
) -> Option<Entered<W, G>>
where
    W: Send + Sync + 'static,
    G: Send + 'static,
{
    let place = &slot.place;
    let (mut stage, mut turn_lock) = (stage, turn_lock);
    loop {
        let file = match WaitingFile::open(place, create) {
            Ok(Some(file)) => file,
            Ok(None) => {
                turn_lock.take().into_iter().for_each(Waiting::let_go);
                stage = pause(stage)?;
                continue;
            }
            Err(error) => return Some(Entered { stage, turn_lock, section: Err(error) }),
        };
        match file.try_lock(place) {
            Ok(true) => {}
            Ok(false) if watch::may_block(place) => {
                let wait = Wait::new(file.pinned(), stage, turn_lock, anew.clone());
                let waited = watch::block(wait, slot, Place::compare_session, || file.wait());
                let Some((waited, granted)) = waited else {
                    // What this thread waited for is obsolete.
                    file.let_go();
                    return None;
                };
                (stage, turn_lock) = (waited.stage, waited.turn_lock);
                if let Err(error) = &granted
                    && filesystem::is_served(place.dir())
                    && sys::is_given_up(error)
                {
                    // The server has given up what this host waited with.
                    turn_lock.take().into_iter().for_each(Waiting::let_go);
                    stage = pause(stage)?;
                    continue;
                }
                if let Err(error) = granted.context("wait for", place.session()) {
                    return Some(Entered { stage, turn_lock, section: Err(error) });
                }
            }
            Ok(false) => {
                turn_lock.take().into_iter().for_each(Waiting::let_go);
                stage = pause(stage)?;
                continue;
            }
            Err(error) => return Some(Entered { stage, turn_lock, section: Err(error) }),
        }
        match file.confirmed(place) {
            Ok(Ok(section)) => return Some(Entered { stage, turn_lock, section: Ok(section) }),
            Ok(Err(_moved)) => {}
            Err(error) => return Some(Entered { stage, turn_lock, section: Err(error) }),
        }
    }
}
