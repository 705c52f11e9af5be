//! The way to a turn: once for tasks and threads alike.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Rules, deadline_after};
use crate::caller::{Caller, at_once};
use crate::error::{Error, Result};
use crate::lockfile::record::cut_label;
use crate::lockfile::{self, LockFile, Obstacle, Try, waiter};
use crate::metrics;
use crate::near;
use crate::place::Place;
use crate::registry::{Call, SlotRef, Spot, Want};
use crate::transcript::{DataLock, who_is_inside};
use crate::turn::{self, Turn};

/// A turn that is to be acquired; see [`Sessions::turn`](crate::Sessions::turn).
#[derive(Debug)]
#[must_use = "nothing happens before it is acquired"]
pub struct Acquire {
    rules: Arc<Rules>,
    at: At,
    label: Option<Arc<str>>,
    facts: Option<Arc<Map<String, Value>>>,
    limit: Option<Duration>,
}

/// What is to be acquired.
#[derive(Debug)]
enum At {
    Session(PathBuf),
    #[cfg(feature = "gateway")]
    Gateway(PathBuf),
}

impl Acquire {
    pub(super) fn new(rules: Arc<Rules>, path: PathBuf) -> Self {
        Self {
            limit: rules.acquire_timeout,
            rules,
            at: At::Session(path),
            label: None,
            facts: None,
        }
    }

    /// The lock of a gateway, with further fields for its record.
    #[cfg(feature = "gateway")]
    pub(crate) fn gateway(rules: Arc<Rules>, lock: PathBuf, facts: Map<String, Value>) -> Self {
        let facts = Some(Arc::new(facts));
        Self { limit: rules.acquire_timeout, rules, at: At::Gateway(lock), label: None, facts }
    }

    /// What the holder is doing, for those who wait and those who look: cut after 1024 bytes.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = Some(Arc::from(cut_label(label.as_ref())));
        self
    }

    /// How long this acquire may wait, instead of the rules' timeout. Zero means one try.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Some(timeout);
        self
    }

    /// Wait without limit.
    pub fn no_timeout(mut self) -> Self {
        self.limit = None;
        self
    }

    /// Waits for the turn, in the order of asking.
    ///
    /// There is no re-entry: a task that holds the turn and asks for it again waits for itself, and the timeout's message says so.
    ///
    /// **Cancel safe** at every await: dropped, it leaves the queue as if it had never been there.
    /// **Blocking**: a turn that nobody has, in a directory that is known to be on a local filesystem, is taken in place, in some tens of
    /// microseconds. If that took longer than a millisecond, and for all that is waited for, and elsewhere, file work is done on tokio's
    /// blocking pool, and never waits there.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the session stayed busy; [`Error::RemoteOwner`], [`Error::NotASession`], [`Error::NotALockFile`],
    /// [`Error::LocksNotKept`]; [`Error::Runtime`] outside a tokio runtime; [`Error::Io`].
    ///
    /// # Panics
    /// If the tokio runtime was built without its timer (`enable_time`) and the turn has to be waited for.
    pub async fn acquire(self) -> Result<Turn> {
        self.acquire_as(Caller::Task).await
    }

    /// [`acquire`](Self::acquire) for threads that may block.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn acquire_blocking(self) -> Result<Turn> {
        at_once(self.acquire_as(Caller::Thread))
    }

    /// Takes the turn if that needs no waiting. Blocking, for some tens of microseconds on a local disk.
    ///
    /// # Errors
    /// [`Error::Timeout`] if somebody has it; otherwise those of [`acquire`](Self::acquire).
    pub fn try_acquire(self) -> Result<Turn> {
        self.timeout(Duration::ZERO).acquire_blocking()
    }

    pub(crate) async fn acquire_as(self, caller: Caller) -> Result<Turn> {
        caller.begin().await?;
        let began = Instant::now();
        let deadline = deadline_after(self.limit);
        let acquired = |turn: Turn| {
            metrics::acquired(turn.place(), began.elapsed());
            turn
        };
        let asked = Asked { limit: self.limit, deadline };
        let near = self.found_in_place(caller);
        let is_near = near.is_some();
        let mut step = match near {
            Some(place) => self.queue(place),
            None => caller.run(move || asked.begin(self)).await??,
        };
        // Once: what is busy, or comes after a wait, is left to the blocking pool.
        let mut in_place = is_near && matches!(&step, Step::Wait(_, spot) if spot.is_called());
        loop {
            let (slot, spot) = match step {
                Step::Held(turn) => return Ok(acquired(turn)),
                Step::Wait(slot, spot) => (slot, spot),
            };
            match spot.called(caller, deadline).await {
                Some(Call::Granted(granted)) => return granted.map(acquired),
                Some(Call::Go) if std::mem::take(&mut in_place) => {
                    step = near::in_place(|| asked.attempt(slot, spot, false))?;
                }
                Some(Call::Go) => {
                    step = caller.run(move || asked.attempt(slot, spot, true)).await??
                }
                None => {
                    let rules = Arc::clone(&spot.want().rules);
                    drop(spot);
                    return Err(caller.run(move || asked.timed_out(&slot, &rules)).await?);
                }
            }
        }
    }
}

impl Acquire {
    /// A task looks the session's directory up without a detour over the blocking pool if that is known to be quick.
    fn found_in_place(&self, caller: Caller) -> Option<Place> {
        match &self.at {
            // What is missing, or wrong, is met on the longer way.
            At::Session(path)
                if caller == Caller::Task && !self.rules.shared && near::is_near(path) =>
            {
                Place::resolve(path, false).ok()
            }
            _ => None,
        }
    }

    /// Joins the queue of this process.
    fn queue(self, place: Place) -> Step {
        let slot = SlotRef::of(place);
        let spot = slot.turns.join(Want {
            owner: Uuid::now_v7(),
            label: self.label,
            facts: self.facts,
            rules: self.rules,
        });
        if !spot.is_called() {
            waiter::watch_hold(&slot);
        }
        Step::Wait(slot, spot)
    }
}

/// How far an acquire has come.
enum Step {
    Held(Turn),
    Wait(SlotRef, Spot<Want, Turn>),
}

/// How long the caller is willing to wait.
#[derive(Clone, Copy)]
struct Asked {
    limit: Option<Duration>,
    deadline: Option<Instant>,
}

impl Asked {
    fn begin(self, acquire: Acquire) -> Result<Step> {
        let place = match &acquire.at {
            At::Session(path) => {
                let place = Place::resolve(path, true)?;
                near::remember_if_near(path, &place);
                place
            }
            #[cfg(feature = "gateway")]
            At::Gateway(lock) => Place::of_gateway(lock, true)?,
        };
        match acquire.queue(place) {
            Step::Wait(slot, spot) if spot.is_called() => self.attempt(slot, spot, true),
            step => Ok(step),
        }
    }

    /// This waiter is the one of its process at the lock file's door. What would have to wait a moment is put off unless `patient`.
    fn attempt(self, slot: SlotRef, spot: Spot<Want, Turn>, patient: bool) -> Result<Step> {
        match try_for(&slot, spot.want(), patient)? {
            Tried::Held(lock, data) => {
                spot.granted();
                return Ok(Step::Held(Turn::begin(slot.clone(), spot.want(), lock, data)));
            }
            // The spot stays called.
            Tried::NotAtOnce => return Ok(Step::Wait(slot, spot)),
            Tried::Busy => {}
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(self.timed_out(&slot, &spot.want().rules));
        }
        tracing::debug!(session = %slot.place.session().display(), owner = %spot.want().owner, "wait");
        spot.wait_in_kernel();
        waiter::start(&slot);
        Ok(Step::Wait(slot, spot))
    }

    fn timed_out(self, slot: &SlotRef, rules: &Rules) -> Error {
        let waited = self.limit.unwrap_or_default();
        metrics::timed_out(&slot.place);
        match lockfile::holder_at(&slot.place, rules) {
            // Nobody holds it: then somebody keeps the data lock, without which nobody can.
            None if !slot.place.lock().exists() => Error::DataLockBusy {
                session: slot.place.session().to_owned(),
                pid: who_is_inside(&slot.place),
                waited,
            },
            holder => Error::Timeout {
                lock: slot.place.lock().to_owned(),
                waited,
                holder: holder.map(Box::new),
            },
        }
    }
}

/// What one try for the turn brought.
enum Tried {
    Held(LockFile, DataLock),
    /// Somebody has it, or is to have it first.
    Busy,
    /// The data lock is not free just now, and was not waited for.
    NotAtOnce,
}

fn try_for(slot: &SlotRef, want: &Want, patient: bool) -> Result<Tried> {
    let place = &slot.place;
    if slot.run_is_over() && lockfile::others_wait(place, &want.rules) {
        turn::leave_to_others(slot);
        return Ok(Tried::Busy);
    }
    if let Some((lock, data)) = turn::go_on(slot, want) {
        return Ok(Tried::Held(lock, data));
    }
    let data = if patient { DataLock::try_now(place, true)? } else { DataLock::try_once(place)? };
    let Some(mut data) = data else {
        return Ok(if patient { Tried::Busy } else { Tried::NotAtOnce });
    };
    match lockfile::try_take(place, &data, want)
        .inspect_err(|_| data.discard_unused(false, || Ok(())))?
    {
        Try::Held(lock) => Ok(Tried::Held(lock, data)),
        Try::Busy(Obstacle::Remote(record)) => {
            let holder = Box::new(record.holder(false, record.owner.is_none()));
            Err(Error::RemoteOwner { lock: place.lock().to_owned(), holder })
        }
        Try::Busy(_) => Ok(Tried::Busy),
    }
}
