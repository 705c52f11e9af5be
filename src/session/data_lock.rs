//! The way to the data lock. It leads through a queue of this process first, so that hundreds of
//! posters fill neither the blocking pool nor the kernel's queue.

use std::sync::Arc;
use std::time::Instant;

use super::queue::{Call, WaitQueue};
use super::slot::{SlotRef, refuse_to_wait_in_fork};
use super::waiting;
use crate::datafile::{self, Locking, Section, SessionFile};
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
                    waiting::for_data_lock(&slot, ticket.pass_to_thread(), create);
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

/// Who keeps the data lock is looked for only if the disk answers soon.
async fn busy(slot: SlotRef, mode: Mode, limit: WaitLimit) -> Error {
    let (disk, session) = (slot.disk(), slot.place.session().to_owned());
    let look = move || datafile::busy(&slot.place, limit.timeout());
    match mode.run_elsewhere(Instant::now(), disk, look).await {
        Ok(Some(busy)) => busy,
        Ok(None) => Error::NoAnswer { path: session, waited: limit.timeout() },
        Err(error) => error,
    }
}

/// The section that was granted. If none was, opens the session file and tries its data lock:
/// `None` if another process has it, or a lease on the file.
pub(crate) fn enter_section(
    granted: Option<Section>,
    place: &Place,
    create: bool,
) -> Result<Option<Section>> {
    if granted.is_some() {
        return Ok(granted);
    }
    let missing = || Error::NoSession { path: place.session().to_owned() };
    let session = match SessionFile::open(place, create) {
        Err(error) if error.is_lease() => return Ok(None),
        opened => opened?.ok_or_else(missing)?,
    };
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
