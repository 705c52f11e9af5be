//! The way to the data lock. It leads through a queue of this process first, so that hundreds of
//! posters fill neither the blocking pool nor the kernel's queue.

use std::sync::Arc;

use super::queue::{Call, WaitQueue};
use super::slot::{SlotRef, refuse_to_wait_in_fork};
use super::waiting;
use crate::datafile::{Locking, Section, SessionFile, who_is_inside};
use crate::error::{Error, Result};
use crate::mode::Mode;
use crate::place::Place;
use crate::rules::WaitLimit;

/// Runs `operation` under the data lock, when this process's queue has come to it.
///
/// The operation gets the section that was waited for. If nobody in this process is before it, it
/// gets none and is to try the data lock itself, as with [`enter_section`]. It returns `None` if
/// another process has the data lock, and is run again after a wait.
///
/// Cancel safe: dropped while it waits, nothing happens; dropped while `operation` runs, the
/// operation runs to its end.
pub(crate) async fn in_section<T, F>(
    slot: SlotRef,
    mode: Mode,
    limit: WaitLimit,
    create: bool,
    operation: F,
) -> Result<T>
where
    T: Send + 'static,
    F: FnMut(Option<Section>) -> Result<Option<T>> + Send + 'static,
{
    mode.begin().await?;
    let mut ticket = slot.data_queue.join(());
    let mut operation = operation;
    loop {
        if !ticket.is_called() {
            refuse_to_wait_in_fork(&slot)?;
        }
        let grant = match ticket.wait_for_call(mode, limit.deadline()).await {
            Some(Call::Attempt) => None,
            Some(Call::Granted(grant)) => Some(grant?),
            None => return Err(busy(slot, mode, limit).await),
        };
        let may_wait = !limit.has_passed();
        let work = {
            let slot = slot.clone();
            move || {
                let mut operation = operation;
                // The grant ends with the work, and the queue moves on.
                let mut grant: Option<SectionGrant> = grant;
                let section = grant.as_mut().and_then(SectionGrant::take);
                let done = operation(section);
                if may_wait && matches!(done, Ok(None)) {
                    ticket.pass_to_thread();
                    waiting::for_data_lock(&slot, create);
                }
                (done, ticket, operation)
            }
        };
        match mode.run(work).await? {
            (Ok(Some(done)), ..) => return Ok(done),
            (Err(error), ..) => return Err(error),
            (Ok(None), ..) if !may_wait => return Err(busy(slot, mode, limit).await),
            (Ok(None), queued, same) => (ticket, operation) = (queued, same),
        }
    }
}

async fn busy(slot: SlotRef, mode: Mode, limit: WaitLimit) -> Error {
    let look = move || Error::DataLockBusy {
        session: slot.place.session().to_owned(),
        pid: who_is_inside(&slot.place),
        waited: limit.timeout(),
    };
    mode.run(look).await.unwrap_or_else(|error| error)
}

/// The section that was granted. If none was, opens the session file and tries its data lock:
/// `None` if another process has it.
pub(crate) fn enter_section(
    granted: Option<Section>,
    place: &Place,
    create: bool,
) -> Result<Option<Section>> {
    if granted.is_some() {
        return Ok(granted);
    }
    let missing = || Error::NoSession { path: place.session().to_owned() };
    let session = SessionFile::open(place, create)?.ok_or_else(missing)?;
    match session.try_lock(place, create)? {
        Locking::Locked(section) => Ok(Some(section)),
        Locking::Busy(_) => Ok(None),
        Locking::Missing => Err(missing()),
    }
}

/// The data lock, granted to a waiter. When the grant ends, the queue moves on.
pub(crate) struct SectionGrant {
    section: Option<Section>,
    queue: Arc<WaitQueue<(), SectionGrant>>,
}

impl SectionGrant {
    pub(super) fn new(section: Section, queue: &Arc<WaitQueue<(), Self>>) -> Self {
        Self { section: Some(section), queue: Arc::clone(queue) }
    }

    fn take(&mut self) -> Option<Section> {
        self.section.take()
    }
}

impl Drop for SectionGrant {
    fn drop(&mut self) {
        drop(self.section.take());
        self.queue.advance();
    }
}
