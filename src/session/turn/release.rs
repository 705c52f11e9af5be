//! How a turn ends: handed over, unlinked, or left in place for others.

use std::sync::Arc;
use std::time::Duration;

use super::lingering::{TIDY_AFTER, begin_upkeep, let_go_of_kept_lock};
use super::open::OpenTurn;
use super::{Inner, Turn};
use crate::datafile::{Locking, SOON, Section, SessionFile};
use crate::error::{LostCause, Result};
use crate::keeper;
use crate::lock::Want;
use crate::metrics;
use crate::outside::{self, note};
use crate::session::queue::First;
use crate::session::{at_server, fast_path, waiting};

impl Drop for Turn {
    fn drop(&mut self) {
        let _scope = outside::scope();
        // An abandoned append that is still writing has the mutex. Then, and if the release would
        // have to wait, the keeper releases the turn.
        let Some(mut open) = self.inner.open.try_lock() else { return self.inner.release_later() };
        let Some(taken) = open.take() else { return };
        drop(open);
        if let Released::NotYet(taken) = self.inner.let_go(taken, false) {
            *self.inner.open.lock() = Some(*taken);
            self.inner.release_later();
        }
    }
}

/// How a release went.
enum Released {
    /// The lock was let go. If the turn had been lost before, this says how.
    Done(Option<LostCause>),
    /// The data lock is busy. Nothing was changed.
    NotYet(Box<OpenTurn>),
}

impl Inner {
    /// Closes the turn and releases it.
    pub(super) fn release(&self) -> Result<()> {
        let _scope = outside::scope();
        let Some(open) = self.open.lock().take() else { return Ok(()) };
        match self.let_go(open, true) {
            Released::Done(None) => Ok(()),
            Released::Done(Some(cause)) => Err(self.lost(cause)),
            // A patient release is never put off.
            Released::NotYet(open) => {
                self.leave(*open, false);
                Ok(())
            }
        }
    }

    /// Releases the turn on the async thread, if that is quickly done; otherwise `None`.
    pub(super) fn release_on_fast_path(&self) -> Option<Result<()>> {
        if !fast_path::is_open(self.slot.mount()) || !self.rules.is_local(self.slot.place.dir()) {
            return None;
        }
        let taken = self.open.try_lock()?.take()?;
        match fast_path::run(|| self.let_go(taken, false)) {
            Released::Done(None) => Some(Ok(())),
            Released::Done(Some(cause)) => Some(Err(self.lost(cause))),
            Released::NotYet(taken) => {
                *self.open.lock() = Some(*taken);
                None
            }
        }
    }

    /// The keeper closes the turn and releases it.
    fn release_later(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        let lane = inner.slot.lane();
        keeper::after(Duration::ZERO, lane, move || {
            let Some(mut open) = inner.open.try_lock() else {
                // An append is still writing. It will not take long.
                let again = Arc::clone(&inner);
                let soon = Duration::from_millis(1);
                return keeper::after(soon, lane, move || again.release_later());
            };
            let Some(taken) = open.take() else { return };
            drop(open);
            drop(inner.let_go(taken, true));
        });
    }

    /// Hands over, unlinks, or leaves the lock file in place. A patient release waits a few
    /// milliseconds at most for the data lock. Any other does not wait at all, and may be put off.
    fn let_go(&self, open: OpenTurn, patient: bool) -> Released {
        let released = self.try_to_let_go(open, patient);
        if let Released::Done(lost) = &released {
            self.watch.tell(&self.slot.place, lost.unwrap_or(LostCause::Closed));
        }
        released
    }

    fn try_to_let_go(&self, mut open: OpenTurn, patient: bool) -> Released {
        if open.lock.is_forked() {
            // The lock and the queue are the parent's (I14).
            return Released::Done(Some(LostCause::Forked));
        }
        let others = open.lock.somebody_waits(&self.slot.place, &self.rules);
        let is_alone = self.slot.turn_queue.is_empty();
        let is_left = if is_alone {
            !self.unlinks_at_once() || self.may_stay(&open)
        } else {
            open.run.is_over()
        };
        if others && is_left {
            self.leave(open, true);
            return Released::Done(None);
        }
        let Some(mut section) = self.section_for_release(&mut open, patient) else {
            if !patient {
                return Released::NotYet(Box::new(open));
            }
            self.leave(open, others);
            return Released::Done(None);
        };
        match open.lock.lost_in(&section) {
            Ok(None) => self.let_go_in_section(open, section, others),
            // What is at the path is not this turn's. If that cannot be told, it is left alone too.
            lost => {
                if !open.seen.is_of(section.pinned()) {
                    // The session file was gone, and was created only for this section.
                    section.discard_unused(false, || Ok(()));
                }
                drop(section);
                self.leave(open, false);
                Released::Done(lost.ok().flatten())
            }
        }
    }

    /// Whether a lock file is removed although others may wait for it. A server does not tell of
    /// waiters, and the keeper may not live for long enough to remove what nobody has wanted (I18).
    fn unlinks_at_once(&self) -> bool {
        self.rules.is_served(self.slot.place.dir())
    }

    /// Whether a lock file at a server stays for the next turn of this process (I22).
    fn may_stay(&self, open: &OpenTurn) -> bool {
        !open.lock.is_lent() && !open.made_session() && self.slot.lock_file_may_stay()
    }

    fn section_for_release(&self, open: &mut OpenTurn, patient: bool) -> Option<Section> {
        let place = &self.slot.place;
        let session = match open.session.take() {
            Some(session) => session,
            None => SessionFile::open(place, true).ok().flatten()?,
        };
        let busy = if patient {
            match session.lock_within(SOON, place, true).ok()? {
                Ok(section) => return Some(section),
                Err(busy) => busy,
            }
        } else {
            match session.try_lock(place, true).ok()? {
                Locking::Locked(section) => return Some(section),
                Locking::Busy(busy) => busy,
                Locking::Missing => return None,
            }
        };
        open.session = Some(busy);
        None
    }

    /// Under the data lock, with the turn not lost.
    fn let_go_in_section(&self, open: OpenTurn, section: Section, others: bool) -> Released {
        if !self.slot.end_hold(self.owner) {
            metrics::released(&self.slot.place, self.since.elapsed());
            return Released::Done(Some(LostCause::Removed));
        }
        let next = if open.lock.is_lent() { None } else { self.slot.turn_queue.take_first() };
        match next {
            Some(first) => self.hand_over(open, section, first, others),
            None if others && !self.unlinks_at_once() => {
                drop(section);
                self.leave_in_place(open, true);
            }
            None => self.unlink(open, section),
        }
        Released::Done(None)
    }

    fn hand_over(
        &self,
        mut open: OpenTurn,
        section: Section,
        first: First<Want, Turn>,
        others: bool,
    ) {
        let slot = &self.slot;
        if open.lock.hand_over(&section, first.want()).is_err() {
            // The record may be spoiled now. The next holder takes it over like any other.
            drop((first, section));
            return self.leave_in_place(open, others);
        }
        note!(DEBUG, [slot = slot.clone(), to = first.want().owner],
            session = %slot.place.session().display(), %to, "hand over");
        metrics::released(&slot.place, self.since.elapsed());
        let run = open.run.next(first.want().owner);
        let open = OpenTurn::new(open.lock, section, run, Some(&open.seen));
        let turn = Turn::with(slot.clone(), first.want(), open);
        // If the waiter gave up just now, its turn ends here and passes the lock on.
        drop(first.grant(Ok(turn)));
    }

    fn unlink(&self, open: OpenTurn, mut section: Section) {
        let place = &self.slot.place;
        note!(DEBUG, [place = place.clone(), owner = self.owner],
            session = %place.session().display(), %owner, "release");
        metrics::released(place, self.since.elapsed());
        section.discard_unused(false, || open.lock.disown());
        open.lock.unlink(place, &section);
        drop(section);
        if self.unlinks_at_once() {
            self.slot.let_others_go_first();
            self.slot.remember();
        }
        self.slot.turn_queue.advance();
    }

    /// Ends the hold and leaves the lock file in place. If the turn was lost and the queue has
    /// moved on without it, the lock is dropped.
    fn leave(&self, open: OpenTurn, others: bool) {
        if self.slot.end_hold(self.owner) {
            self.leave_in_place(open, others);
        } else {
            metrics::released(&self.slot.place, self.since.elapsed());
        }
    }

    /// Lets go of the lock, or keeps it until the run ends (I8), and leaves the file in place. The
    /// queue moves on: its waiters queue behind the other processes if `others` wait.
    fn leave_in_place(&self, open: OpenTurn, others: bool) {
        let slot = &self.slot;
        note!(DEBUG, [slot = slot.clone(), owner = self.owner],
            session = %slot.place.session().display(),
            %owner,
            "release, leaving the lock file in place");
        metrics::released(&slot.place, self.since.elapsed());
        if others {
            *slot.last_run.lock() = Some(open.run);
        }
        // The keeper lets go in time, but waits for no server.
        let may_be_kept = others
            && !open.lock.is_lent()
            && self.rules.is_local(slot.place.dir())
            && keeper::is_running();
        let lingering = match open.run.end().filter(|_| may_be_kept) {
            Some(end) => open.lock.keep_until(end, open.session),
            None => open.lock.unlock(open.session),
        };
        if self.unlinks_at_once() {
            slot.let_others_go_first();
            begin_upkeep(slot, lingering, at_server::STAY);
        } else {
            begin_upkeep(slot, lingering, TIDY_AFTER);
        }
        if !others {
            slot.turn_queue.advance();
        } else if let Some(stage) = slot.turn_queue.pass_to_thread() {
            let_go_of_kept_lock(slot);
            waiting::for_turn_lock(slot, stage);
        }
    }
}
