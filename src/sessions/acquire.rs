//! The way to a turn: once for tasks and threads alike.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::datafile::{SOON, Section, who_is_inside};
use crate::error::{Error, Result};
use crate::lock::{self, Lock, Obstacle, Try, Want, cut_label};
use crate::metrics;
use crate::mode::{Mode, now_or_never};
use crate::place::Place;
use crate::rules::{Rules, deadline_after};
use crate::session::{self, Call, SlotRef, Ticket, Turn, fast_path, waiting};

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
    /// [`Error::Timeout`] if the session stayed busy; [`Error::RemoteOwner`], [`Error::NotASession`], [`Error::NotALock`],
    /// [`Error::LocksNotKept`]; [`Error::Runtime`] outside a tokio runtime; [`Error::Io`].
    ///
    /// # Panics
    /// If the tokio runtime was built without its timer (`enable_time`) and the turn has to be waited for.
    pub async fn acquire(self) -> Result<Turn> {
        self.acquire_as(Mode::Async).await
    }

    /// [`acquire`](Self::acquire) for threads that may block.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn acquire_blocking(self) -> Result<Turn> {
        now_or_never(self.acquire_as(Mode::Blocking))
    }

    /// Takes the turn if that needs no waiting. Blocking, for some tens of microseconds on a local disk.
    ///
    /// # Errors
    /// [`Error::Timeout`] if somebody has it; otherwise those of [`acquire`](Self::acquire).
    pub fn try_acquire(self) -> Result<Turn> {
        self.timeout(Duration::ZERO).acquire_blocking()
    }

    pub(crate) async fn acquire_as(self, mode: Mode) -> Result<Turn> {
        mode.begin().await?;
        let began = Instant::now();
        let deadline = deadline_after(self.limit);
        let acquired = |turn: Turn| {
            metrics::acquired(turn.place(), began.elapsed());
            turn
        };
        let asked = Asked { limit: self.limit, deadline };
        let near = self.found_in_place(mode);
        let is_near = near.is_some();
        let mut step = match near {
            Some(place) => self.queue(place),
            None => mode.run(move || asked.begin(self)).await??,
        };
        // Once: what is busy, or comes after a wait, is left to the blocking pool.
        let mut in_place = is_near && matches!(&step, Step::Wait(_, ticket) if ticket.is_called());
        loop {
            let (slot, ticket) = match step {
                Step::Held(turn) => return Ok(acquired(turn)),
                Step::Wait(slot, ticket) => (slot, ticket),
            };
            match ticket.called(mode, deadline).await {
                Some(Call::Granted(granted)) => return granted.map(acquired),
                Some(Call::Go) if std::mem::take(&mut in_place) => {
                    step = fast_path::in_place(|| asked.attempt(slot, ticket, false))?;
                }
                Some(Call::Go) => {
                    step = mode.run(move || asked.attempt(slot, ticket, true)).await??
                }
                None => {
                    let rules = Arc::clone(&ticket.want().rules);
                    drop(ticket);
                    return Err(mode.run(move || asked.timed_out(&slot, &rules)).await?);
                }
            }
        }
    }
}

impl Acquire {
    /// A task looks the session's directory up without a detour over the blocking pool if that is known to be quick.
    fn found_in_place(&self, mode: Mode) -> Option<Place> {
        match &self.at {
            // What is missing, or wrong, is met on the longer way.
            At::Session(path)
                if mode == Mode::Async && !self.rules.shared && fast_path::is_near(path) =>
            {
                Place::resolve(path, false).ok()
            }
            _ => None,
        }
    }

    /// Joins the queue of this process.
    fn queue(self, place: Place) -> Step {
        let slot = SlotRef::of(place);
        let ticket = slot.turns.join(Want {
            owner: Uuid::now_v7(),
            label: self.label,
            facts: self.facts,
            rules: self.rules,
        });
        if !ticket.is_called() {
            waiting::watch_hold(&slot);
        }
        Step::Wait(slot, ticket)
    }
}

/// How far an acquire has come.
enum Step {
    Held(Turn),
    Wait(SlotRef, Ticket<Want, Turn>),
}

/// How long the mode is willing to wait.
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
                fast_path::remember_if_near(path, &place);
                place
            }
            #[cfg(feature = "gateway")]
            At::Gateway(lock) => Place::of_gateway(lock, true)?,
        };
        match acquire.queue(place) {
            Step::Wait(slot, ticket) if ticket.is_called() => self.attempt(slot, ticket, true),
            step => Ok(step),
        }
    }

    /// This waiter is the one of its process at the lock file's door. What would have to wait a moment is put off unless `patient`.
    fn attempt(self, slot: SlotRef, ticket: Ticket<Want, Turn>, patient: bool) -> Result<Step> {
        match try_for(&slot, ticket.want(), patient)? {
            Tried::Held(lock, data) => {
                ticket.granted();
                return Ok(Step::Held(Turn::begin(slot.clone(), ticket.want(), lock, data)));
            }
            // The ticket stays called.
            Tried::NotAtOnce => return Ok(Step::Wait(slot, ticket)),
            Tried::Busy => {}
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(self.timed_out(&slot, &ticket.want().rules));
        }
        tracing::debug!(session = %slot.place.session().display(), owner = %ticket.want().owner, "wait");
        ticket.wait_in_kernel();
        waiting::start(&slot);
        Ok(Step::Wait(slot, ticket))
    }

    fn timed_out(self, slot: &SlotRef, rules: &Rules) -> Error {
        let waited = self.limit.unwrap_or_default();
        metrics::timed_out(&slot.place);
        let own = session::owner_here(&slot.place);
        match lock::holder_at(&slot.place, own, rules) {
            // Nobody holds it: then somebody keeps the data lock, without which nobody can.
            None if !matches!(slot.place.stat_lock(), Ok(Some(_))) => Error::DataLockBusy {
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
    Held(Lock, Section),
    /// Somebody has it, or is to have it first.
    Busy,
    /// The data lock is not free just now, and was not waited for.
    NotAtOnce,
}

fn try_for(slot: &SlotRef, want: &Want, patient: bool) -> Result<Tried> {
    let place = &slot.place;
    if slot.run_is_over() && lock::others_wait(place, &want.rules) {
        session::leave_to_others(slot);
        return Ok(Tried::Busy);
    }
    if let Some((lock, data)) = session::resume(slot, want) {
        return Ok(Tried::Held(lock, data));
    }
    let data =
        if patient { Section::lock_within(SOON, place, true)? } else { Section::try_lock(place)? };
    let Some(mut data) = data else {
        return Ok(if patient { Tried::Busy } else { Tried::NotAtOnce });
    };
    match lock::try_take(place, &data, want)
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
