//! What this process knows of a session whose files and locks a server keeps. The server tells
//! nobody of those who wait, and every change of a directory costs it a write to its disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::slot::{Slot, SlotRef};
use crate::keeper;
use crate::lock::{self, Lingering};

/// How long others are let go first, who were met at a server (I8). The server tells them with a
/// call of its own, and they have some ten calls to make.
pub(super) const PATIENCE: Duration = Duration::from_millis(30);
/// The pause between two looks whether one of them has come.
const LOOK_FOR_OTHERS: Duration = Duration::from_millis(2);

/// How long a lock file stays after a turn for the next turn of this process (I22).
pub(super) const STAY: Duration = Duration::from_millis(100);
/// How long it stays over several turns, if no others are met. A program that waits for the file to
/// go away finds a gap then.
const LONGEST_STAY: Duration = Duration::from_secs(1);
/// A process that takes a second turn within this time is likely to take a third.
const REMEMBERED: Duration = Duration::from_secs(1);

/// What a slot knows of a session at a server.
#[derive(Default)]
pub(super) struct AtServer {
    /// Whether others of other processes were met on the way to the turn.
    met_others: AtomicBool,
    /// Until when they are let go first (I8).
    others_first_until: Mutex<Option<Instant>>,
    /// How many turns have begun in this slot.
    turns: AtomicU32,
    /// Since when the lock file stays between turns.
    stays_since: Mutex<Option<Instant>>,
}

impl Slot {
    /// Notes whether others were met on the way to the turn, where nothing else tells of them.
    pub(crate) fn has_met_others(&self, met: bool) {
        self.at_server.met_others.store(met, Ordering::Relaxed);
    }

    /// Whether others were met on the way to the last turn.
    pub(crate) fn met_others(&self) -> bool {
        self.at_server.met_others.load(Ordering::Relaxed)
    }

    /// Waits until one of the others has come, who are let go first, if any are.
    pub(crate) fn wait_for_others(&self) {
        let Some(until) = self.at_server.others_first_until.lock().take() else { return };
        let left = self.upkeep.lock().lingering.as_deref().map(Lingering::pinned).map(Arc::clone);
        let has_come = || match &left {
            Some(lock) => lock::is_had(lock),
            None => !matches!(self.place.stat_lock(), Ok(None)),
        };
        while Instant::now() < until && !has_come() {
            std::thread::sleep(LOOK_FOR_OTHERS);
        }
    }

    /// Counts a turn that begins.
    pub(super) fn count_turn(&self) {
        self.at_server.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the lock file is to stay after this turn, for the next one of this process (I22).
    pub(super) fn lock_file_may_stay(&self) -> bool {
        if self.at_server.turns.load(Ordering::Relaxed) < 2 || !keeper::is_running() {
            return false;
        }
        let mut since = self.at_server.stays_since.lock();
        let stays = since.get_or_insert_with(Instant::now).elapsed() < LONGEST_STAY;
        if !stays {
            *since = None;
        }
        stays || self.met_others()
    }
}

impl SlotRef {
    /// This process has let go, and lets the others that it met go first, for a moment.
    pub(super) fn let_others_go_first(&self) {
        if self.met_others() {
            *self.at_server.others_first_until.lock() = Some(Instant::now() + PATIENCE);
        }
    }

    /// Keeps what is known of the session for a while, in case this process comes back.
    pub(super) fn remember(&self) {
        let kept = self.clone();
        keeper::after(REMEMBERED, self.lane(), move || drop(kept));
    }
}
