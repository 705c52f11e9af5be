//! One session that this process is busy with, and the registry of all of them.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::Mutex;
use uuid::Uuid;

use super::data_queue::SectionGrant;
use super::queue::WaitQueue;
use super::run::{Left, Run};
use super::turn::Turn;
use crate::lock::{Lingering, Want};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::FileId;

/// The truth about this process's own hold of a session.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) owner: Uuid,
    /// Which lock file it is.
    pub(crate) lock: FileId,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) since: Instant,
    pub(crate) rules: Arc<Rules>,
    pub(crate) reported: bool,
}

/// One session that this process is busy with.
pub(crate) struct Slot {
    pub(crate) place: Place,
    /// The line for the turn.
    pub(crate) turns: Arc<WaitQueue<Want, Turn>>,
    /// The line for the data lock.
    pub(crate) data: Arc<WaitQueue<(), SectionGrant>>,
    /// Who of this process holds the turn, and owns the stage of its line.
    pub(crate) hold: Mutex<Option<Hold>>,
    /// The run after which this process let the turn go to others.
    pub(crate) left: Mutex<Option<Left>>,
    /// What the last turn left on disk for others.
    pub(crate) rest: Mutex<Rest>,
    /// Whether the keeper watches the hold for those who wait behind it.
    pub(crate) watched: AtomicBool,
}

/// A lock that was let go with its file left in place.
#[derive(Default)]
pub(crate) struct Rest {
    /// Boxed, since few slots have one.
    pub(crate) leftover: Option<Box<Lingering>>,
    /// Whether the keeper is going to look after it.
    pub(crate) looked_after: bool,
    /// Whether the keeper is going to end the time for which the lock is kept.
    pub(crate) kept: bool,
}

impl Slot {
    fn new(place: Place) -> Self {
        Self {
            place,
            turns: WaitQueue::new(),
            data: WaitQueue::new(),
            hold: Mutex::new(None),
            left: Mutex::new(None),
            rest: Mutex::default(),
            watched: AtomicBool::new(false),
        }
    }

    /// Whether this process has had the session long enough, and is to queue behind the others.
    pub(crate) fn run_is_over(&self) -> bool {
        self.left.lock().is_some_and(|left| left.run.is_over())
    }

    /// The run of a turn that is taken over from `predecessor`.
    pub(crate) fn begin_run(&self, predecessor: Option<Uuid>) -> Run {
        let left = self.left.lock().take();
        left.and_then(|left| left.continued(predecessor)).unwrap_or_else(Run::new)
    }

    /// The hold of this owner ends; `false` if the line has moved on without it, since it was lost.
    pub(crate) fn end_hold(&self, owner: Uuid) -> bool {
        let mut hold = self.hold.lock();
        let mine = hold.as_ref().is_some_and(|hold| hold.owner == owner);
        if mine {
            *hold = None;
        }
        mine
    }

    /// Ends the hold if its lock file is gone from its path: whoever did that owns the stage of the line now.
    pub(crate) fn end_lost_hold(&self) -> bool {
        let Some((owner, lock)) = self.hold.lock().as_ref().map(|hold| (hold.owner, hold.lock))
        else {
            return false;
        };
        // Without the mutex, for which the whole registry may wait: a dead mount does not answer.
        self.place.lock_id().is_ok_and(|named| named != Some(lock)) && self.end_hold(owner)
    }
}

/// All sessions that this process is busy with, by canonical path.
static SLOTS: LazyLock<Mutex<HashMap<Place, Arc<Slot>>>> = LazyLock::new(Mutex::default);

/// A use of a slot; the last one to go takes it out of the registry, so that an idle session costs nothing.
pub(crate) struct SlotRef(Arc<Slot>);

impl SlotRef {
    pub(crate) fn of(place: Place) -> Self {
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
        // Ours and the map's: whoever wants it next gets a new one.
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

/// The holds that have lasted longer than their `max_hold`, each handed out once; and when the next
/// one will have.
pub(super) fn long_holds() -> (Vec<(Place, Hold)>, Option<Instant>) {
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
