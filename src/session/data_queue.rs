//! The way to the data lock: queued in this process first, so that hundreds of posters fill neither
//! the blocking pool nor the kernel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Call, WaitQueue};
use super::slot::SlotRef;
use super::waiting;
use crate::datafile::{Locking, Section, SessionFile, who_is_inside};
use crate::error::{Error, Result};
use crate::mode::Mode;
use crate::place::Place;

/// Does `operation` in a section: when this process's queue comes to it, with the section that was
/// waited for, or with none if nobody of this process is before and the operation is to try for the
/// data lock itself. It answers `None` if another process has the data lock.
///
/// Cancel safe: dropped while it waits, nothing happens; dropped while `operation` runs, that runs to its end.
pub(crate) async fn in_section<T, F>(
    slot: SlotRef,
    mode: Mode,
    deadline: Option<Instant>,
    limit: Option<Duration>,
    create: bool,
    operation: F,
) -> Result<T>
where
    T: Send + 'static,
    F: Fn(Option<Section>) -> Result<Option<T>> + Send + 'static,
{
    mode.begin().await?;
    let mut ticket = slot.data.join(());
    let mut operation = operation;
    loop {
        let grant = match ticket.called(mode, deadline).await {
            Some(Call::Go) => None,
            Some(Call::Granted(grant)) => Some(grant?),
            None => return Err(busy(mode, slot, limit).await),
        };
        let working = slot.clone();
        let waits = deadline.is_none_or(|deadline| deadline > Instant::now());
        let work = move || {
            // The grant ends with the work, and then the line moves on.
            let mut grant: Option<SectionGrant> = grant;
            let section = grant.as_mut().and_then(SectionGrant::take);
            let done = operation(section);
            if waits && matches!(done, Ok(None)) {
                ticket.wait_in_kernel();
                waiting::start_for_data(&working, create);
            }
            (done, ticket, operation)
        };
        match mode.run(work).await? {
            (Ok(Some(done)), ..) => return Ok(done),
            (Err(error), ..) => return Err(error),
            (Ok(None), ..) if !waits => return Err(busy(mode, slot, limit).await),
            (Ok(None), back, same) => (ticket, operation) = (back, same),
        }
    }
}

async fn busy(mode: Mode, slot: SlotRef, limit: Option<Duration>) -> Error {
    let look = move || Error::DataLockBusy {
        session: slot.place.session().to_owned(),
        pid: who_is_inside(&slot.place),
        waited: limit.unwrap_or_default(),
    };
    mode.run(look).await.unwrap_or_else(|error| error)
}

/// The section that was granted, or one of a session file that is opened for it; `None` if another
/// process has the data lock.
pub(crate) fn section_of(
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

/// The data lock, granted to a waiter; when it ends, the line moves on.
pub(crate) struct SectionGrant {
    lock: Option<Section>,
    line: Arc<WaitQueue<(), SectionGrant>>,
}

impl SectionGrant {
    pub(crate) fn new(lock: Section, line: &Arc<WaitQueue<(), Self>>) -> Self {
        Self { lock: Some(lock), line: Arc::clone(line) }
    }

    pub(crate) fn take(&mut self) -> Option<Section> {
        self.lock.take()
    }
}

impl Drop for SectionGrant {
    fn drop(&mut self) {
        drop(self.lock.take());
        self.line.advance();
    }
}
