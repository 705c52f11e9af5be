//! What the steps look up in a world: who is who, what is promised, what has been seen.

use std::sync::atomic::Ordering;

use super::fs::{Owner, Pid, Tid};
use super::state::{Event, State, Wrong};
use super::world::{Budget, Op, Role, World};

/// How many operations a thread may have: an owner and a line are numbered by thread and operation.
pub const OPS: u8 = 8;

impl World {
    pub fn op(&self, tid: Tid, op: u8) -> Option<Op> {
        self.threads[usize::from(tid)].script.get(usize::from(op)).copied()
    }

    pub fn pid(&self, tid: Tid) -> Pid {
        self.threads[usize::from(tid)].pid
    }

    /// The keeper of the thread's process.
    pub fn keeper_of(&self, tid: Tid) -> Option<Tid> {
        let pid = self.pid(tid);
        (0..)
            .zip(&self.threads)
            .find_map(|(at, spec)| (spec.role == Role::Keeper && spec.pid == pid).then_some(at))
    }

    /// The owner, and the line, of the operation that the thread is at.
    pub fn id(&self, state: &State, tid: Tid) -> u8 {
        Self::number(tid, state.thread(tid).op)
    }

    pub fn number(tid: Tid, op: u8) -> u8 {
        tid * OPS + op
    }

    pub fn pid_of_owner(&self, owner: Owner) -> Pid {
        self.pid(owner / OPS)
    }

    /// Is this promised here at all? The reasons why not are told in `docs/model.md`.
    pub fn promises(&self, wrong: Wrong) -> bool {
        if self.beyond_limits {
            return wrong != Wrong::ChangedOutside;
        }
        let Budget { rm, crash, panic, replace, reset, .. } = self.budget;
        // A foreign program that renames the session file moves the data lock itself.
        let data_lock_stays = replace + reset == 0;
        // Together with a lock file that goes away while its holder lives, it makes two sections at
        // once: one ends the other's turn.
        let sections_guard = data_lock_stays || (rm == 0 && !self.has(Op::Revoke));
        match wrong {
            Wrong::LostWrote | Wrong::RevokedInside => sections_guard,
            Wrong::LiveUnlinked => sections_guard && self.watch_unlinks,
            Wrong::ChangedOutside => data_lock_stays && self.watch_sections,
            // Whoever removes the lock file lets the foreign program in.
            Wrong::PostOvertaken => rm == 0,
            Wrong::WroteUntold => self.watch_told,
            // A foreign program writes without the data lock, or moves it.
            Wrong::MadeFromOther => {
                let foreign = self.has(Op::Foreign) || self.has(Op::ForeignRewrite);
                !foreign && !self.session_is_changed()
            }
            // So does one that dies, or a foreign program that is later than our patience.
            Wrong::RemovedInUse => rm + crash + panic == 0 && !self.slow_foreign,
        }
    }

    /// Does a foreign program cut, replace or remove the session file?
    pub fn session_is_changed(&self) -> bool {
        let Budget { replace, reset, shrink, .. } = self.budget;
        replace + reset + shrink > 0
    }

    /// Nothing befalls it, nobody revokes or gives up, and the session file is there.
    pub fn is_peaceful(&self) -> bool {
        let disturbed =
            self.has(Op::Revoke) || self.has(Op::Remove) || self.give_up || self.slow_foreign;
        self.budget == Budget::default() && self.session && !disturbed
    }

    fn has(&self, op: Op) -> bool {
        self.threads.iter().any(|spec| spec.script.contains(&op))
    }

    /// Has this thread panicked? Then it has no operation left.
    pub fn unwinds(&self, state: &State, tid: Tid) -> bool {
        self.budget.panic > 0 && self.op(tid, state.thread(tid).op).is_none()
    }

    pub fn is_foreign(&self, tid: Tid) -> bool {
        matches!(self.op(tid, 0), Some(Op::Foreign | Op::ForeignRewrite))
    }

    pub fn saw(&self, event: Event) {
        self.events.fetch_or(1 << event as u32, Ordering::Relaxed);
    }

    /// Did any step of any check of this world show it?
    pub fn showed(&self, event: Event) -> bool {
        self.events.load(Ordering::Relaxed) & (1 << event as u32) != 0
    }

    pub fn at_post(&self, state: &State, tid: Tid) -> bool {
        self.op(tid, state.thread(tid).op) == Some(Op::Post)
    }
}
