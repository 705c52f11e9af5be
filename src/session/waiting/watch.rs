//! The watch over what waiters wait for (I12). The keeper looks at the lock path from time to time.
//!
//! A revoke or an `rm` takes the lock file from its path, while the former holder may keep its
//! inode locked for hours. Whoever waits for that inode must not wait for the former holder.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::for_turn_lock;
use crate::keeper;
use crate::session::slot::SlotRef;
use crate::sys::Pinned;

/// How soon the path is looked at that a thread waits on.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// The longest time between two looks at it.
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// How often a turn is looked at behind which others of its process wait.
const HOLD_LOOK: Duration = Duration::from_millis(200);

/// The wait of one thread in the kernel, for the lock on one inode.
pub(super) struct Wait {
    /// The file, which the thread has open as long as it waits.
    lock: Weak<Pinned>,
    finished: AtomicBool,
}

impl Wait {
    pub(super) fn new(lock: &Arc<Pinned>) -> Self {
        Self { lock: Arc::downgrade(lock), finished: AtomicBool::new(false) }
    }

    /// Finishes the wait: the thread does when it is granted the lock, the keeper does to abandon
    /// it. `false` if the other was first.
    pub(super) fn finish(&self) -> bool {
        !self.finished.swap(true, Ordering::AcqRel)
    }

    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }
}

/// Watches the path of a lock file that a thread waits for. If the path names another file, or
/// none, the wait is abandoned, and another thread waits for what the path names.
pub(super) fn watch_path(wait: Arc<Wait>, slot: SlotRef) {
    look_at_path_after(FIRST_LOOK, wait, slot);
}

fn look_at_path_after(delay: Duration, wait: Arc<Wait>, slot: SlotRef) {
    keeper::after(delay, move || {
        if wait.is_finished() {
            return;
        }
        let Some(lock) = wait.lock.upgrade() else { return };
        match slot.place.compare_lock(&lock) {
            Ok(found) if !found.is_this() => {
                if wait.finish() {
                    tracing::debug!(
                        lock = %slot.place.lock().display(),
                        "the lock file was removed or replaced during a wait; the wait starts anew"
                    );
                    for_turn_lock(&slot);
                }
            }
            _ => look_at_path_after((delay * 2).min(MAX_PAUSE), wait, slot),
        }
    });
}

/// Watches the turn of this process behind which others wait: a task may hang in it. If its lock
/// file is gone from the path, the queue moves on without it.
pub(crate) fn watch_hold(slot: &SlotRef) {
    if !slot.watched.swap(true, Ordering::AcqRel) {
        look_at_hold_later(slot.clone());
    }
}

fn look_at_hold_later(slot: SlotRef) {
    keeper::after(HOLD_LOOK, move || {
        if slot.turn_queue.is_empty() {
            slot.watched.store(false, Ordering::Release);
            // Somebody may have joined just now.
            if !slot.turn_queue.is_empty() {
                watch_hold(&slot);
            }
            return;
        }
        if slot.end_lost_hold() {
            tracing::warn!(
                lock = %slot.place.lock().display(),
                "a turn was lost while others in its process wait; they go on without it"
            );
            slot.turn_queue.advance();
        }
        look_at_hold_later(slot);
    });
}
