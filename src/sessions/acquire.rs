//! The way to a turn.

use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::address::Address;
use crate::datafile::{self, SOON, Section, is_claimed_elsewhere};
use crate::error::{Error, Holder, Result};
use crate::lock::{self, Lock, Obstacle, Try, Want, cut_label};
use crate::metrics;
use crate::mode::{Mode, now_or_never};
use crate::outside::note;
use crate::place::Place;
use crate::rules::{Rules, WaitLimit};
use crate::session::{self, Call, SlotRef, Ticket, Turn, fast_path, waiting};
use crate::sys::filesystem;

/// A turn that is to be acquired; see [`Sessions::turn`](crate::Sessions::turn).
#[derive(Debug)]
#[must_use = "nothing happens before it is acquired"]
pub struct Acquire {
    rules: Arc<Rules>,
    target: Target,
    label: Option<Arc<str>>,
    facts: Option<Arc<Map<String, Value>>>,
    timeout: Option<Duration>,
}

/// What is to be acquired, by its path.
#[derive(Debug)]
enum Target {
    Session(Arc<Address>),
    #[cfg(feature = "gateway")]
    Gateway(PathBuf),
}

impl Acquire {
    pub(super) fn new(rules: Arc<Rules>, address: Arc<Address>) -> Self {
        Self {
            timeout: rules.acquire_timeout,
            rules,
            target: Target::Session(address),
            label: None,
            facts: None,
        }
    }

    /// The lock of a gateway, with further fields for its record.
    #[cfg(feature = "gateway")]
    pub(crate) fn gateway(rules: Arc<Rules>, lock: PathBuf, facts: Map<String, Value>) -> Self {
        Self {
            timeout: rules.acquire_timeout,
            rules,
            target: Target::Gateway(lock),
            label: None,
            facts: Some(Arc::new(facts)),
        }
    }

    /// What the holder is doing, for those who wait and those who look. Cut after 1024 bytes.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = Some(Arc::from(cut_label(label.as_ref())));
        self
    }

    /// How long this acquire may wait, instead of the timeout of the rules. Zero means one try.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits without limit.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Waits for the turn: first come, first served.
    ///
    /// There is no re-entry. A task that holds the turn and asks for it again waits for itself, and
    /// the message of the timeout says so.
    ///
    /// **Cancel safety**: safe at every await. Dropped, it leaves the queue as if it had never been
    /// there.
    /// **Blocking**: a turn that nobody holds, in a directory that is known to be on a local
    /// filesystem which has just been used, is acquired in place, which takes some tens of
    /// microseconds. In all other cases, and for a while after that took longer than a millisecond,
    /// file work is done on tokio's blocking pool, or on threads of this crate if the pool is full.
    /// It never waits there for a lock.
    ///
    /// # Errors
    /// - [`Error::Timeout`] if the session stayed busy
    /// - [`Error::DataLockBusy`] if another process stayed inside an append, or keeps the session
    ///   file locked
    /// - [`Error::NoAnswer`] if the disk did not answer
    /// - [`Error::RemoteOwner`] if the owner is on another host of a network filesystem
    /// - [`Error::NotASession`], [`Error::NotALockFile`] or [`Error::LocksNotKept`] if the session
    ///   cannot be locked
    /// - [`Error::Forked`] if the session is busy, and this process is a fork
    /// - [`Error::Runtime`] outside a tokio runtime
    /// - [`Error::Io`] if a file operation fails, or if another user may have put something there
    ///   to lead this process astray
    ///
    /// # Panics
    /// If the tokio runtime was built without its timer (`enable_time`) and the turn has to be
    /// waited for.
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

    /// Takes the turn if nobody has to be waited for.
    ///
    /// **Blocking**: some tens of microseconds on a local disk.
    ///
    /// # Errors
    /// [`Error::Timeout`] if somebody holds it; otherwise those of [`acquire`](Self::acquire).
    pub fn try_acquire(self) -> Result<Turn> {
        self.timeout(Duration::ZERO).acquire_blocking()
    }

    pub(crate) async fn acquire_as(self, mode: Mode) -> Result<Turn> {
        mode.begin().await?;
        let began = Instant::now();
        let limit = WaitLimit::after(self.timeout);
        let turn = self.acquire_within(limit, mode).await?;
        metrics::acquired(turn.place(), began.elapsed());
        Ok(turn)
    }

    async fn acquire_within(self, limit: WaitLimit, mode: Mode) -> Result<Turn> {
        let found = self.find_on_fast_path(mode);
        let mut on_fast_path = found.is_some();
        let mut progress = match found {
            Some(place) => self.queue(place),
            None => self.begin_elsewhere(limit, mode).await?,
        };
        loop {
            let (slot, ticket) = match progress {
                Progress::Acquired(turn) => return Ok(turn),
                Progress::Queued(slot, ticket) => (slot, ticket),
            };
            if !ticket.is_called() {
                session::refuse_to_wait_in_fork(&slot)?;
            }
            // Only the first attempt, and only if nobody is before: what is busy stays busy.
            let is_quick = std::mem::take(&mut on_fast_path)
                && ticket.is_called()
                && fast_path::is_open(slot.mount());
            progress = match ticket.wait_for_call(mode, limit.deadline()).await {
                Some(Call::Granted(granted)) => return granted,
                Some(Call::Attempt) if is_quick => {
                    fast_path::run(|| attempt(slot, ticket, limit, false))?
                }
                Some(Call::Attempt) => {
                    let (disk, path) = (slot.disk(), slot.place.session().to_owned());
                    let work = move || attempt(slot, ticket, limit, true);
                    match mode.run_until(limit.deadline(), disk, work).await? {
                        Some(progress) => progress?,
                        None => return Err(no_answer(path, limit)),
                    }
                }
                None => give_up(slot, ticket, limit, mode).await?,
            };
        }
    }

    async fn begin_elsewhere(self, limit: WaitLimit, mode: Mode) -> Result<Progress> {
        let path = match &self.target {
            Target::Session(address) => address.path(),
            #[cfg(feature = "gateway")]
            Target::Gateway(path) => path.as_path(),
        };
        let (disk, path) = (fast_path::disk_of(path), path.to_owned());
        let is_elsewhere = mode.runs_elsewhere(limit.deadline(), &disk);
        let begin = move || self.begin(limit, is_elsewhere);
        match mode.run_until(limit.deadline(), disk, begin).await? {
            Some(progress) => progress,
            None => Err(no_answer(path, limit)),
        }
    }

    /// Finds the session's directory on the async thread, if that is known to be quick.
    fn find_on_fast_path(&self, mode: Mode) -> Option<Place> {
        match &self.target {
            // A directory that is missing or wrong is left to the blocking pool.
            Target::Session(address)
                if mode == Mode::Async
                    && !self.rules.shared
                    && fast_path::can_find(address.path()) =>
            {
                let found = address.find(false).ok();
                found.filter(|place| fast_path::is_still_local(address.path(), place))
            }
            _ => None,
        }
    }

    /// Finds the session's directory, joins the queue, and tries for the turn if nobody is before.
    ///
    /// `is_elsewhere` says whether the caller does not wait for this thread beyond its deadline.
    fn begin(self, limit: WaitLimit, is_elsewhere: bool) -> Result<Progress> {
        let place = match &self.target {
            Target::Session(address) => address.find(true)?,
            #[cfg(feature = "gateway")]
            Target::Gateway(lock) => Place::of_gateway(lock, true)?,
        };
        match self.queue(place) {
            // A server that was started anew grants nothing for a while, and does not answer. The
            // thread that asks it must not be the caller's, whose time is limited.
            Progress::Queued(slot, ticket)
                if ticket.is_called()
                    && (is_elsewhere || !filesystem::is_served(slot.place.dir())) =>
            {
                attempt(slot, ticket, limit, true)
            }
            progress => Ok(progress),
        }
    }

    /// Joins the queue of this process.
    fn queue(self, place: Place) -> Progress {
        let slot = SlotRef::of(place);
        let ticket = slot.turn_queue.join(Want {
            owner: Uuid::now_v7(),
            label: self.label,
            facts: self.facts,
            rules: self.rules,
        });
        if !ticket.is_called() {
            waiting::watch_hold(&slot);
        }
        Progress::Queued(slot, ticket)
    }
}

impl IntoFuture for Acquire {
    type Output = Result<Turn>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Turn>> + Send>>;

    /// [`acquire`](Acquire::acquire), so that `.await` is enough.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.acquire())
    }
}

/// How far an acquire has come.
enum Progress {
    Acquired(Turn),
    Queued(SlotRef, Ticket<Want, Turn>),
}

/// Tries for the turn, with a ticket that was called. If somebody has the turn, a thread waits for
/// it from now on. An attempt that is not patient does not wait for the data lock either: if that
/// is busy, the ticket stays called.
fn attempt(
    slot: SlotRef,
    ticket: Ticket<Want, Turn>,
    limit: WaitLimit,
    patient: bool,
) -> Result<Progress> {
    let is_served = filesystem::is_served(slot.place.dir());
    if is_served && !limit.has_passed() {
        slot.wait_for_others();
    }
    match try_for(&slot, ticket.want(), patient)? {
        Attempt::Acquired(lock, section) => {
            if lock.predecessor().is_none() {
                slot.has_met_others(false);
            }
            ticket.pass_to_grant();
            let turn = Turn::begin(slot.clone(), ticket.want(), lock, section);
            return Ok(Progress::Acquired(turn));
        }
        Attempt::PutOff => return Ok(Progress::Queued(slot, ticket)),
        Attempt::Busy => slot.has_met_others(is_served),
    }
    if limit.has_passed() {
        metrics::timed_out(&slot.place);
        return Err(timed_out(&slot, limit, &ticket.want().rules));
    }
    note!(DEBUG, [slot = slot.clone(), owner = ticket.want().owner],
        session = %slot.place.session().display(), %owner, "wait");
    waiting::for_turn_lock(&slot, ticket.pass_to_thread());
    Ok(Progress::Queued(slot, ticket))
}

/// Gives up, since the time is over: says who holds the turn. If that is a turn of this process
/// which is lost, the queue moves on first, and the ticket may have been called.
async fn give_up(
    slot: SlotRef,
    ticket: Ticket<Want, Turn>,
    limit: WaitLimit,
    mode: Mode,
) -> Result<Progress> {
    let (disk, place) = (slot.disk(), slot.place.clone());
    let look = move || {
        if slot.move_on_from_lost_hold() || ticket.is_called() {
            return Ok(Progress::Queued(slot, ticket));
        }
        let rules = Arc::clone(&ticket.want().rules);
        drop(ticket);
        Err(timed_out(&slot, limit, &rules))
    };
    let given_up = match mode.run_elsewhere(Instant::now(), disk, look).await? {
        Some(given_up) => given_up,
        None => Err(no_answer(place.session().to_owned(), limit)),
    };
    // Here, where the caller is: its recorder may be that of its thread.
    if given_up.is_err() {
        metrics::timed_out(&place);
    }
    given_up
}

fn no_answer(path: PathBuf, limit: WaitLimit) -> Error {
    Error::NoAnswer { path, waited: limit.timeout() }
}

/// How one attempt went.
enum Attempt {
    Acquired(Lock, Section),
    /// Somebody has the turn, or is to have it first.
    Busy,
    /// The data lock is busy, and was not waited for.
    PutOff,
}

fn try_for(slot: &SlotRef, want: &Want, patient: bool) -> Result<Attempt> {
    let place = &slot.place;
    if slot.run_is_over() && lock::others_wait(place, &want.rules) {
        session::let_go_of_kept_lock(slot);
        return Ok(Attempt::Busy);
    }
    if let Some((lock, section)) = session::resume(slot, want) {
        return Ok(Attempt::Acquired(lock, section));
    }
    let section =
        if patient { Section::lock_within(SOON, place, true)? } else { Section::try_lock(place)? };
    let Some(mut section) = section else {
        return Ok(if patient { Attempt::Busy } else { Attempt::PutOff });
    };
    if !section.claim(&want.rules) {
        return Ok(Attempt::Busy);
    }
    let tried = lock::try_take(place, &mut section, want)
        .inspect_err(|_| section.discard_unused(false, || Ok(())))?;
    match tried {
        Try::Held(lock) => Ok(Attempt::Acquired(lock, section)),
        Try::Busy(Obstacle::Remote(record)) => {
            let holder = Box::new(record.holder_elsewhere());
            Err(Error::RemoteOwner { lock: place.lock().to_owned(), holder })
        }
        Try::Busy(_) => Ok(Attempt::Busy),
    }
}

fn timed_out(slot: &SlotRef, limit: WaitLimit, rules: &Rules) -> Error {
    let (place, waited) = (&slot.place, limit.timeout());
    if is_claimed_elsewhere(place, rules) {
        let holder = Some(Box::new(Holder::under_another_name()));
        return Error::Timeout { lock: place.lock().to_owned(), waited, holder };
    }
    match lock::holder_at(place, session::owner_here(place), rules) {
        // Nobody holds the turn. Then somebody keeps the data lock, without which nobody can.
        None if !matches!(place.stat_lock(), Ok(Some(_))) => datafile::busy(place, waited),
        holder => {
            Error::Timeout { lock: place.lock().to_owned(), waited, holder: holder.map(Box::new) }
        }
    }
}
