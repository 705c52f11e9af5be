//! How a turn ends: handed over, unlinked, or left for others.
use std::sync::Arc;
use std::time::Duration;

use super::linger::{leave_behind, leave_to_others};
use super::{Grip, Inner, Turn};
use crate::datafile::{Locking, SOON, Section, SessionFile};
use crate::error::{LostCause, Result};
use crate::keeper;
use crate::metrics;
use crate::session::run::Left;
use crate::session::{fast_path, waiting};

impl Drop for Turn {
    fn drop(&mut self) {
        // An abandoned append that is still writing has the grip: then, as for all that would have to wait, the keeper sees to it.
        let Some(mut slot) = self.inner.grip.try_lock() else { return self.inner.release_later() };
        let Some(grip) = slot.take() else { return };
        drop(slot);
        if let Let::NotNow(grip) = self.inner.let_go(grip, false) {
            *self.inner.grip.lock() = Some(*grip);
            self.inner.release_later();
        }
    }
}

/// How a release went.
pub(super) enum Let {
    /// The lock is let go; whether it had been lost before.
    Gone(Option<LostCause>),
    /// The data lock is busy.
    NotNow(Box<Grip>),
}

impl Inner {
    /// Hands over, unlinks, or leaves the lock for others; never waits longer than a few milliseconds,
    /// and not at all unless `patient`.
    pub(super) fn let_go(&self, mut grip: Grip, patient: bool) -> Let {
        if grip.lock.is_forked() {
            // The parent's lock, the parent's line (I14).
            return Let::Gone(Some(LostCause::Forked));
        }
        let turns = &self.slot.turns;
        let others = grip.lock.somebody_waits(&self.rules);
        if others && (turns.is_empty() || grip.run.is_over()) {
            self.leave(grip, true);
            return Let::Gone(None);
        }
        let mut data = match self.data_lock_for_release(&mut grip, patient) {
            Ok(data) => data,
            Err(_) if patient => {
                self.leave(grip, others);
                return Let::Gone(None);
            }
            Err(_) => return Let::NotNow(Box::new(grip)),
        };
        match grip.lock.lost(&self.slot.place) {
            Ok(None) => self.hand_over_or_unlink(grip, data, others),
            // Nothing of ours stands there. What cannot be looked at is left alone as well.
            lost => {
                if data.id() != grip.file {
                    // The session file had gone, and was made only now.
                    data.discard_unused(false, || Ok(()));
                }
                drop(data);
                self.leave(grip, false);
                Let::Gone(lost.ok().flatten())
            }
        }
    }

    /// A task releases without a detour over the blocking pool, as a drop does; `None` if that is not so quickly done.
    pub(super) fn release_in_place(&self) -> Option<Result<()>> {
        let mut held = self.grip.try_lock()?;
        if !fast_path::is_quick()
            || !held.as_ref().is_some_and(|grip| grip.lock.is_local(&self.rules))
        {
            return None;
        }
        let grip = held.take()?;
        match fast_path::in_place(|| self.let_go(grip, false)) {
            Let::Gone(None) => Some(Ok(())),
            Let::Gone(Some(cause)) => Some(Err(self.lost(cause))),
            Let::NotNow(grip) => {
                *held = Some(*grip);
                None
            }
        }
    }

    fn data_lock_for_release(&self, grip: &mut Grip, patient: bool) -> Result<Section, ()> {
        let place = &self.slot.place;
        let session = match grip.session.take() {
            Some(session) => session,
            None => SessionFile::open(place, true).ok().flatten().ok_or(())?,
        };
        if patient {
            return match session.lock_within(SOON, place, true) {
                Ok(Ok(data)) => Ok(data),
                Ok(Err(session)) => {
                    grip.session = Some(session);
                    Err(())
                }
                Err(_) => Err(()),
            };
        }
        match session.try_lock(place, true) {
            Ok(Locking::Locked(data)) => Ok(data),
            Ok(Locking::Busy(session)) => {
                grip.session = Some(session);
                Err(())
            }
            Ok(Locking::Missing) | Err(_) => Err(()),
        }
    }

    /// Under the data lock, with the lock still ours.
    fn hand_over_or_unlink(&self, mut grip: Grip, mut data: Section, others: bool) -> Let {
        let place = &self.slot.place;
        if !self.slot.end_hold(self.owner) {
            metrics::released(place, self.since.elapsed());
            return Let::Gone(Some(LostCause::Removed));
        }
        let next = if grip.lock.is_lent() { None } else { self.slot.turns.next() };
        if let Some(waiter) = next {
            if grip.lock.hand_over(&data, &waiter.want).is_err() {
                // The record may be spoiled now: the next one takes it over through the front door.
                self.slot.turns.put_back(waiter);
                drop(data);
                self.leave_to_line(grip, others);
                return Let::Gone(None);
            }
            tracing::debug!(session = %place.session().display(), to = %waiter.want.owner, "hand over");
            metrics::released(place, self.since.elapsed());
            let next = Grip::new(grip.lock, data, grip.run.next());
            // A waiter that gave up just now: its turn ends at once, and passes the lock on.
            drop(waiter.grant(Ok(Turn::with(self.slot.clone(), &waiter.want, next))));
            return Let::Gone(None);
        }
        if others {
            drop(data);
            self.leave_to_line(grip, true);
            return Let::Gone(None);
        }
        tracing::debug!(session = %place.session().display(), owner = %self.owner, "release");
        metrics::released(place, self.since.elapsed());
        data.discard_unused(false, || grip.lock.disown());
        grip.lock.unlink(place, &data);
        drop(data);
        self.slot.turns.advance();
        Let::Gone(None)
    }

    /// Unlocks, and leaves the file for whoever waits in the kernel; the line moves on.
    ///
    /// Unless the line has moved on already, since the turn was lost.
    pub(super) fn leave(&self, grip: Grip, others: bool) {
        if self.slot.end_hold(self.owner) {
            self.leave_to_line(grip, others);
        } else {
            metrics::released(&self.slot.place, self.since.elapsed());
        }
    }

    fn leave_to_line(&self, grip: Grip, others: bool) {
        tracing::debug!(session = %self.slot.place.session().display(), owner = %self.owner, "release, leaving the lock to others");
        metrics::released(&self.slot.place, self.since.elapsed());
        if others {
            *self.slot.left.lock() = Some(Left { owner: self.owner, run: grip.run });
        }
        let may_be_kept = others && !grip.lock.is_lent() && keeper::is_free();
        let leftover = match grip.run.end().filter(|_| may_be_kept) {
            Some(end) => grip.lock.keep_until(end, grip.session),
            None => grip.lock.unlock(grip.session),
        };
        leave_behind(&self.slot, leftover);
        if !others {
            self.slot.turns.advance();
        } else if self.slot.turns.leave_to_kernel() {
            // Our own tasks queue behind the others.
            leave_to_others(&self.slot);
            waiting::start(&self.slot);
        }
    }

    fn release_later(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        keeper::after(Duration::ZERO, move || {
            let Some(mut slot) = inner.grip.try_lock() else {
                // An append is still writing: it will not take long.
                let again = Arc::clone(&inner);
                return keeper::after(Duration::from_millis(1), move || again.release_later());
            };
            let Some(grip) = slot.take() else { return };
            drop(slot);
            drop(inner.let_go(grip, true));
        });
    }
}
