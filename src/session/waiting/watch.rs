//! The watch over what waiters wait for (I12). The keeper looks at the path from time to time.
//!
//! A revoke or an `rm` takes the lock file from its path, while the former holder may keep its
//! inode locked for hours. A compaction puts another session file in the place of one that somebody
//! may keep locked: whoever may read it can. Whoever waits for such an inode must not wait for
//! them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Result;
use crate::keeper;
use crate::lock::Waiting;
use crate::outside::note;
use crate::place::Place;
use crate::session::queue::WaitingStage;
use crate::session::slot::SlotRef;
use crate::sys::{Found, Pinned, filesystem};

/// How soon the path is looked at that a thread waits on.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// The longest time between two looks at it.
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// How often a turn is looked at behind which others of its process wait.
const HOLD_LOOK: Duration = Duration::from_millis(200);
/// How long the turn lock is kept during a wait for the data lock.
const KEEP: Duration = Duration::from_secs(1);

/// Threads whose wait was abandoned, and who are still blocked on what has lost its name.
static ABANDONED: AtomicUsize = AtomicUsize::new(0);
/// If there are so many of them, waits do not block any more, but look from time to time.
const MAX_ABANDONED: usize = 16;

/// Whether a thread may block in the kernel, where nobody can call it back. It may not where it
/// would not be woken in time.
pub(super) fn may_block(place: &Place) -> bool {
    ABANDONED.load(Ordering::Relaxed) < MAX_ABANDONED && filesystem::wakes_waiters(place.dir())
}

/// The wait of one thread in the kernel, for the lock on one inode.
pub(super) struct Wait<W, G> {
    /// The file, which the thread has open as long as it waits.
    file: Weak<Pinned>,
    began: Instant,
    /// `None` when the wait is over: the thread took it, or the keeper, to abandon the wait.
    waited: Mutex<Option<Waited<W, G>>>,
    anew: Box<dyn Fn(WaitingStage<W, G>) + Send + Sync>,
}

/// What the thread that waits has.
pub(super) struct Waited<W, G> {
    pub(super) stage: WaitingStage<W, G>,
    /// The turn lock, during a wait for the data lock.
    pub(super) turn_lock: Option<Waiting>,
}

impl<W, G> Wait<W, G> {
    /// A wait for the lock on `file`. If the file loses its name, another thread waits `anew`.
    pub(super) fn new(
        file: &Arc<Pinned>,
        stage: WaitingStage<W, G>,
        turn_lock: Option<Waiting>,
        anew: impl Fn(WaitingStage<W, G>) + Send + Sync + 'static,
    ) -> Self {
        let waited = Mutex::new(Some(Waited { stage, turn_lock }));
        let file = Arc::downgrade(file);
        Self { file, began: Instant::now(), waited, anew: Box::new(anew) }
    }

    /// Ends the wait. `None` if it was abandoned.
    fn end(&self) -> Option<Waited<W, G>> {
        let waited = self.waited.lock().take();
        if waited.is_none() {
            ABANDONED.fetch_sub(1, Ordering::Relaxed);
        }
        waited
    }

    /// Abandons the wait. `None` if it is over.
    fn abandon(&self) -> Option<Waited<W, G>> {
        let mut waited = self.waited.lock();
        if waited.is_some() {
            ABANDONED.fetch_add(1, Ordering::Relaxed);
        }
        waited.take()
    }

    fn is_over(&self) -> bool {
        self.waited.lock().is_none()
    }

    /// The turn lock, if it was kept for long enough.
    fn take_turn_lock(&self) -> Option<Waiting> {
        if self.began.elapsed() < KEEP {
            return None;
        }
        self.waited.lock().as_mut()?.turn_lock.take()
    }
}

/// Blocks in the kernel until the lock is granted, while the keeper watches what the path names.
/// `None` if the wait was abandoned meanwhile. What was granted then is obsolete.
pub(super) fn block<W, G>(
    wait: Wait<W, G>,
    slot: &SlotRef,
    compare: fn(&Place, &Pinned) -> Result<Found>,
    lock: impl FnOnce() -> io::Result<()>,
) -> Option<(Waited<W, G>, io::Result<()>)>
where
    W: Send + Sync + 'static,
    G: Send + 'static,
{
    let wait = Arc::new(wait);
    look_after(FIRST_LOOK, Arc::clone(&wait), slot.clone(), compare);
    let granted = lock();
    wait.end().map(|waited| (waited, granted))
}

fn look_after<W, G>(
    delay: Duration,
    wait: Arc<Wait<W, G>>,
    slot: SlotRef,
    compare: fn(&Place, &Pinned) -> Result<Found>,
) where
    W: Send + Sync + 'static,
    G: Send + 'static,
{
    keeper::after(delay, slot.lane(), move || {
        if wait.is_over() {
            return;
        }
        let Some(file) = wait.file.upgrade() else { return };
        if compare(&slot.place, &file).is_ok_and(|found| !found.is_this()) {
            if let Some(Waited { stage, turn_lock }) = wait.abandon() {
                turn_lock.into_iter().for_each(Waiting::let_go);
                (wait.anew)(stage);
                note!(DEBUG, [slot = slot.clone()],
                    session = %slot.place.session().display(),
                    "a file was removed or replaced while its lock was waited for; \
                     the wait starts anew");
            }
            return;
        }
        // Without the data lock nobody can begin a turn, and it may stay busy. Whoever finds a way
        // to begin one must not be kept from it.
        wait.take_turn_lock().into_iter().for_each(Waiting::let_go);
        look_after((delay * 2).min(MAX_PAUSE), wait, slot, compare);
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
    keeper::after(HOLD_LOOK, slot.lane(), move || {
        if slot.turn_queue.is_empty() {
            slot.watched.store(false, Ordering::Release);
            // Somebody may have joined just now.
            if !slot.turn_queue.is_empty() {
                watch_hold(&slot);
            }
            return;
        }
        slot.move_on_from_lost_hold();
        look_at_hold_later(slot);
    });
}
