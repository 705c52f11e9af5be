//! Revoke, and the late unlink of a keeper, which is also that of a sweep.

use super::fs::{Ofd, Owner, Record, Tid};
use super::state::{Event, State, Wrong};
use super::step::Choice;
use super::thread::{After, Pc, Then};
use super::world::{Role, World};

impl World {
    /// The caller names an owner: whoever the record shows now.
    pub fn name(&self, s: &mut State, tid: Tid) {
        let Some(record @ Record::Owner(_)) = s.fs.named_record() else {
            return s.next_op(self, tid);
        };
        s.thread_mut(tid).file = s.fs.lock_path;
        s.thread_mut(tid).named = Some(record);
        s.go(tid, self.enter(Then::RevokeCheck));
    }

    /// Inode and owner must be those that were named.
    fn is_named(&self, s: &State, tid: Tid) -> bool {
        let thread = s.thread(tid);
        thread.file == s.fs.lock_path && thread.named == s.fs.named_record()
    }

    fn forget_named(s: &mut State, tid: Tid) {
        s.thread_mut(tid).file = None;
        s.thread_mut(tid).named = None;
        s.thread_mut(tid).made = false;
    }

    pub fn revoke_check(&self, s: &mut State, tid: Tid) {
        if self.is_named(s, tid) {
            return s.go(tid, Pc::RevokeUnlink);
        }
        Self::forget_named(s, tid);
        s.go(tid, Pc::Unlock(After::NextOp));
    }

    pub fn revoke_unlink(&self, s: &mut State, tid: Tid) {
        let named = s.thread(tid).named;
        self.unlink_lock(s, tid, named);
        if let Some(Record::Owner(owner)) = named {
            s.revoked.insert(owner);
            self.watch_revoke(s, owner);
        }
        self.saw(Event::Revoked);
        Self::forget_named(s, tid);
        s.go(tid, Pc::Unlock(After::NextOp));
    }

    /// The holder must not be between its fence and its acknowledgement.
    fn watch_revoke(&self, s: &mut State, owner: Owner) {
        let inside = s.threads.iter().any(|thread| {
            let writing = thread.pc.is_writing();
            writing && thread.turn.is_some_and(|turn| turn.owner == owner)
        });
        if inside {
            s.flag(self, Wrong::RevokedInside);
        }
    }

    /// A sweep means whatever record it finds first.
    pub fn sweep_open(&self, s: &mut State, tid: Tid) {
        let Some(record) = s.fs.named_record() else {
            return s.next_op(self, tid);
        };
        s.thread_mut(tid).file = s.fs.lock_path;
        s.thread_mut(tid).named = Some(record);
        s.go(tid, self.enter(Then::KeepTry));
    }

    pub fn keep_try(&self, s: &mut State, tid: Tid) {
        let ino = s.thread(tid).file.unwrap();
        if s.fs.lock(ino).flock.is_some() {
            return self.keep_busy(s, tid);
        }
        s.fs.lock_mut(ino).flock = Some(Ofd::Keeper(tid));
        s.go(tid, Pc::KeepCheck);
    }

    /// Somebody has the lock. A sweep ends here. A keeper rests: the one that has the lock may
    /// unlock it, or die, without having taken over, which would leave the file behind with the
    /// record of a living process.
    fn keep_busy(&self, s: &mut State, tid: Tid) {
        let keeper = self.threads[usize::from(tid)].role == Role::Keeper;
        if keeper && !self.bugs.keeper_tries_once {
            return s.go(tid, Pc::Unlock(After::KeepRest));
        }
        Self::forget_named(s, tid);
        s.go(tid, Pc::Unlock(After::NextOp));
    }

    /// Time passes. The model wakes it when there is something to see.
    pub fn keeper_wakes(&self, s: &State, tid: Tid) -> Vec<Choice> {
        let free = s.fs.lock(s.thread(tid).file.unwrap()).flock.is_none();
        let wakes = free || !self.is_named(s, tid);
        wakes.then_some(Choice::Go).into_iter().collect()
    }

    pub fn keep_again(&self, s: &mut State, tid: Tid) {
        if self.is_named(s, tid) {
            return s.go(tid, self.enter(Then::KeepTry));
        }
        Self::forget_named(s, tid);
        s.next_op(self, tid);
    }

    pub fn keep_check(&self, s: &mut State, tid: Tid) {
        let dead = match s.thread(tid).named {
            Some(Record::Foreign(peer) | Record::Empty(peer)) => !s.alive.has(self.pid(peer)),
            _ => true,
        };
        let first = s.thread(tid).made && !self.bugs.session_removed_last;
        let pc = match self.is_named(s, tid) && dead {
            true if first => self.disown_first(),
            true => Pc::KeepUnlink,
            false => Pc::KeepLetGo,
        };
        s.go(tid, pc);
    }

    pub fn keep_unlink(&self, s: &mut State, tid: Tid) {
        let named = s.thread(tid).named;
        self.unlink_lock(s, tid, named);
        self.saw(Event::LateUnlink);
        let last = s.thread(tid).made && self.bugs.session_removed_last;
        s.go(tid, if last { Pc::RemoveSession } else { Pc::KeepLetGo });
    }

    pub fn keep_let_go(&self, s: &mut State, tid: Tid) {
        s.fs.unlock(|ofd| ofd == Ofd::Keeper(tid));
        Self::forget_named(s, tid);
        s.go(tid, Pc::Unlock(After::NextOp));
    }
}
