//! One session that this process is busy with, and the registry of all of them.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::at_server::AtServer;
use super::data_lock::SectionGrant;
use super::queue::WaitQueue;
use super::run::Run;
use super::turn::Turn;
use crate::error::{Error, Result};
use crate::keeper::Lane;
use crate::lock::{Lingering, Want};
use crate::mode::Disk;
use crate::outside::note;
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{Mount, Pinned};

/// What the registry knows of this process's own hold of a session.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) owner: Uuid,
    /// The lock file that is held, which the turn has open.
    pub(crate) lock: Weak<Pinned>,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) since: Instant,
    pub(crate) rules: Arc<Rules>,
    /// Whether it was reported as a long hold.
    pub(crate) reported: bool,
}

/// One session that this process is busy with.
pub(crate) struct Slot {
    pub(crate) place: Place,
    /// The queue for the turn lock.
    pub(crate) turn_queue: Arc<WaitQueue<Want, Turn>>,
    /// The queue for the data lock.
    pub(crate) data_queue: Arc<WaitQueue<(), SectionGrant>>,
    /// The turn of this process, if it has one. Whoever ends the hold owns the stage of the turn
    /// queue.
    pub(crate) hold: Mutex<Option<Hold>>,
    /// The run that this process had when it last let go for others. Nobody else may have had the
    /// session since.
    pub(crate) last_run: Mutex<Option<Run>>,
    /// What is known of it where a server keeps the locks.
    pub(super) at_server: AtServer,
    /// What lingers after the last turn.
    pub(crate) upkeep: Mutex<Upkeep>,
    /// Whether the keeper watches the hold for those who wait behind it.
    pub(crate) watched: AtomicBool,
}

/// The lock file that lingers after a turn, and what the keeper is scheduled to do about it.
#[derive(Default)]
pub(crate) struct Upkeep {
    /// Boxed, since few slots have one.
    pub(crate) lingering: Option<Box<Lingering>>,
    /// Whether the keeper is scheduled to tidy it up.
    pub(crate) will_tidy: bool,
    /// How long it is left in place first.
    pub(crate) stays: Duration,
    /// Whether the keeper is scheduled to let go of the lock, if it is kept.
    pub(crate) will_let_go: bool,
}

impl Slot {
    fn new(place: Place) -> Self {
        Self {
            place,
            turn_queue: WaitQueue::new(),
            data_queue: WaitQueue::new(),
            hold: Mutex::new(None),
            last_run: Mutex::new(None),
            at_server: AtServer::default(),
            upkeep: Mutex::default(),
            watched: AtomicBool::new(false),
        }
    }

    /// The mount that the session is on.
    pub(crate) fn mount(&self) -> Mount {
        self.place.dir().mount()
    }

    /// Where the keeper does file work for this session.
    pub(crate) fn lane(&self) -> Lane {
        Lane::Disk(self.place.dir().mount())
    }

    /// Which disk is asked for this session.
    pub(crate) fn disk(&self) -> Disk {
        Disk::Mount(self.place.dir().mount())
    }

    /// Whether this process has had the session for long enough, and is to queue behind the others.
    pub(crate) fn run_is_over(&self) -> bool {
        self.last_run.lock().is_some_and(Run::is_over)
    }

    /// The run of a turn that `owner` takes over from `predecessor`. The last run continues if
    /// nobody else had the session since.
    pub(super) fn begin_run(&self, predecessor: Option<Uuid>, owner: Uuid) -> Run {
        match self.last_run.lock().take() {
            Some(run) if run.ended_with(predecessor) => {
                self.has_met_others(false);
                run.next(owner)
            }
            _ => {
                if predecessor.is_some() {
                    self.has_met_others(true);
                }
                Run::new(owner)
            }
        }
    }

    /// Ends the hold of this owner. `false` if it was lost, and the queue has moved on without it.
    pub(super) fn end_hold(&self, owner: Uuid) -> bool {
        let ended = self.hold.lock().take_if(|hold| hold.owner == owner);
        // Without the mutex: the rules, which may go with it, contain values of the program.
        ended.is_some()
    }

    /// If this process has the turn and its lock file is gone from its path, the queue moves on
    /// without that turn. Returns whether it did.
    pub(crate) fn move_on_from_lost_hold(&self) -> bool {
        let is_lost = self.end_lost_hold();
        if is_lost {
            self.turn_queue.advance();
            note!(WARN, [place = self.place.clone()],
                lock = %place.lock().display(),
                "a turn was lost while others in its process wait; they go on without it");
        }
        is_lost
    }

    /// Ends the hold if its lock file is gone from its path. If so, the caller owns the stage of
    /// the turn queue.
    fn end_lost_hold(&self) -> bool {
        let held = self.hold.lock().as_ref().map(|hold| (hold.owner, hold.lock.upgrade()));
        let Some((owner, Some(lock))) = held else { return false };
        // Without the mutex: a dead mount does not answer, and the whole registry may wait for the
        // mutex.
        self.place.compare_lock(&lock).is_ok_and(|found| !found.is_this()) && self.end_hold(owner)
    }
}

/// All sessions that this process is busy with, by directory and name.
static SLOTS: LazyLock<Mutex<HashMap<Place, Arc<Slot>>>> = LazyLock::new(Mutex::default);

/// The process that used a session first, of this one and those that it is a fork of.
static FIRST_USER: OnceLock<u32> = OnceLock::new();

/// Fails in a fork: its parent's waiting threads are not in it, and a queue that was busy at the
/// fork moves on in the parent alone.
pub(crate) fn refuse_to_wait_in_fork(slot: &Slot) -> Result<()> {
    match FIRST_USER.get() {
        Some(pid) if *pid != std::process::id() => {
            Err(Error::Forked { session: slot.place.session().to_owned() })
        }
        _ => Ok(()),
    }
}

/// A use of a slot. The last one to go removes the slot from the registry, so that an idle session
/// costs nothing.
pub(crate) struct SlotRef(Arc<Slot>);

impl SlotRef {
    pub(crate) fn of(place: Place) -> Self {
        FIRST_USER.get_or_init(std::process::id);
        let mut slots = SLOTS.lock();
        if let Some(slot) = slots.get(&place) {
            return Self(Arc::clone(slot));
        }
        let slot = Arc::new(Slot::new(place.clone()));
        slots.insert(place, Arc::clone(&slot));
        Self(slot)
    }
}

impl Clone for SlotRef {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Deref for SlotRef {
    type Target = Slot;
    fn deref(&self) -> &Slot {
        &self.0
    }
}

impl Drop for SlotRef {
    fn drop(&mut self) {
        let mut slots = SLOTS.lock();
        // Only this one and the map's are left. Whoever wants the slot next gets a new one.
        if Arc::strong_count(&self.0) == 2 {
            slots.remove(&self.0.place);
        }
    }
}

/// The owner of this process's own hold of the session, if it has one.
pub(crate) fn owner_here(place: &Place) -> Option<Uuid> {
    let slot = SlotRef(Arc::clone(SLOTS.lock().get(place)?));
    slot.hold.lock().as_ref().map(|hold| hold.owner)
}

/// How many sessions this process holds right now.
pub(crate) fn held_count() -> usize {
    SLOTS
        .lock()
        .values()
        .filter(|slot| !slot.place.is_gateway() && slot.hold.lock().is_some())
        .count()
}

/// The holds that have lasted longer than their `max_hold`, each returned only once, and the time
/// when the next one will have.
pub(super) fn take_overdue() -> (Vec<(Place, Hold)>, Option<Instant>) {
    let mut overdue = Vec::new();
    let mut next: Option<Instant> = None;
    for slot in SLOTS.lock().values() {
        let mut hold = slot.hold.lock();
        let Some(hold) = hold.as_mut().filter(|hold| !hold.reported) else { continue };
        let Some(due) = hold.since.checked_add(hold.rules.max_hold) else { continue };
        if due <= Instant::now() {
            hold.reported = true;
            overdue.push((slot.place.clone(), hold.clone()));
        } else {
            next = Some(next.map_or(due, |next| next.min(due)));
        }
    }
    (overdue, next)
}
