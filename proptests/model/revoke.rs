//! Revoke; and the late unlink of a keeper, which is also a sweep's.

use crate::fs::{Ofd, Record, Tid};
use crate::state::{After, Event, Pc, State, Then};
use crate::world::World;

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

    /// Inode and owner are those that were named.
    fn is_named(&self, s: &State, tid: Tid) -> bool {
        let thread = s.thread(tid);
        thread.file == s.fs.lock_path && thread.named == s.fs.named_record()
    }

    fn forget_named(s: &mut State, tid: Tid) {
        s.thread_mut(tid).file = None;
        s.thread_mut(tid).named = None;
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
        }
        self.saw(Event::Revoked);
        Self::forget_named(s, tid);
        s.go(tid, Pc::Unlock(After::NextOp));
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
            Self::forget_named(s, tid);
            return s.go(tid, Pc::Unlock(After::NextOp));
        }
        s.fs.lock_mut(ino).flock = Some(Ofd::Keeper(tid));
        s.go(tid, Pc::KeepCheck);
    }

    pub fn keep_check(&self, s: &mut State, tid: Tid) {
        let dead = match s.thread(tid).named {
            Some(Record::Foreign(peer) | Record::Empty(peer)) => !s.alive.has(self.pid(peer)),
            _ => true,
        };
        let pc = if self.is_named(s, tid) && dead {
            Pc::KeepUnlink
        } else {
            Pc::KeepLetGo
        };
        s.go(tid, pc);
    }

    pub fn keep_unlink(&self, s: &mut State, tid: Tid) {
        let named = s.thread(tid).named;
        self.unlink_lock(s, tid, named);
        self.saw(Event::LateUnlink);
        s.go(tid, Pc::KeepLetGo);
    }

    pub fn keep_let_go(&self, s: &mut State, tid: Tid) {
        s.fs.unlock(|ofd| ofd == Ofd::Keeper(tid));
        Self::forget_named(s, tid);
        s.go(tid, Pc::Unlock(After::NextOp));
    }
}
