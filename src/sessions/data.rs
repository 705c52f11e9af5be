//! The way to the data lock: queued in this process first, so that hundreds of posters fill neither the blocking pool nor the kernel.

use std::time::{Duration, Instant};

use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::lockfile::waiter;
use crate::registry::{Call, DataGrant, SlotRef};
use crate::transcript::{DataLock, who_is_inside};

/// How an operation comes to the data lock.
pub(crate) enum Door {
    /// Nobody of this process is before: try for it.
    Go,
    /// It was waited for, and is had.
    Have(DataLock),
}

/// How far an operation came.
pub(crate) enum Reached<T> {
    Done(T),
    /// Another process has the data lock.
    Busy,
}

/// Does `operation` when this process's queue comes to it and the data lock is free, or has been waited for.
///
/// Cancel safe: dropped while it waits, nothing happens; dropped while `operation` runs, that runs to its end.
pub(crate) async fn under_data_lock<T, F>(
    slot: SlotRef,
    caller: Caller,
    deadline: Option<Instant>,
    limit: Option<Duration>,
    create: bool,
    operation: F,
) -> Result<T>
where
    T: Send + 'static,
    F: Fn(Door) -> Result<Reached<T>> + Send + 'static,
{
    caller.begin().await?;
    let mut spot = slot.data.join(());
    let mut operation = operation;
    loop {
        let grant = match spot.called(caller, deadline).await {
            Some(Call::Go) => None,
            Some(Call::Granted(grant)) => Some(grant?),
            None => return Err(busy(caller, slot, limit).await),
        };
        let working = slot.clone();
        let waits = deadline.is_none_or(|deadline| deadline > Instant::now());
        let work = move || {
            // The grant ends with the work, and then the line moves on.
            let mut grant: Option<DataGrant> = grant;
            let door = grant.as_mut().and_then(DataGrant::take).map_or(Door::Go, Door::Have);
            let reached = operation(door);
            if waits && matches!(reached, Ok(Reached::Busy)) {
                spot.wait_in_kernel();
                waiter::start_for_data(&working, create);
            }
            (reached, spot, operation)
        };
        match caller.run(work).await? {
            (Ok(Reached::Done(done)), ..) => return Ok(done),
            (Err(error), ..) => return Err(error),
            (Ok(Reached::Busy), ..) if !waits => return Err(busy(caller, slot, limit).await),
            (Ok(Reached::Busy), back, same) => (spot, operation) = (back, same),
        }
    }
}

async fn busy(caller: Caller, slot: SlotRef, limit: Option<Duration>) -> Error {
    let look = move || Error::DataLockBusy {
        session: slot.place.session().to_owned(),
        pid: who_is_inside(&slot.place),
        waited: limit.unwrap_or_default(),
    };
    caller.run(look).await.unwrap_or_else(|error| error)
}
