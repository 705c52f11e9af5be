//! Release and revoke.

use super::server::Tid;
use super::state::{After, Event, Pc, State, Then};
use super::world::World;

impl World {
    /// The fence is passed: the name is removed.
    pub fn remove_lock(&self, s: &mut State, tid: Tid) {
        self.remove_named(s, tid, None);
        s.go(tid, Pc::LetGo);
    }

    pub fn let_go(&self, s: &mut State, tid: Tid) {
        let had_turn = s.thread_mut(tid).turn.take().is_some();
        Self::close_lock(s, tid);
        // Somebody else was granted the lock of a file just published.
        s.go(tid, Pc::Unlock(if had_turn { After::NextOp } else { After::Again }));
    }

    /// Lets go of the lock, and leaves the file open and in place (I22).
    pub fn leave(&self, s: &mut State, tid: Tid) {
        let thread = s.thread_mut(tid);
        let id = thread.id.take();
        thread.left = thread.turn.take();
        if let (Some(file), Some(_)) = (thread.file, thread.left) {
            let lock = s.server.lock_mut(file);
            lock.lock = lock.lock.filter(|lock| Some(*lock) != id);
        }
        s.next_op(self, tid);
    }

    pub fn name_owner(&self, s: &mut State, tid: Tid) {
        let named = s.server.lock_path.map(|file| s.server.lock(file).record);
        if named.is_none() {
            return s.next_op(self, tid);
        }
        s.thread_mut(tid).named = named;
        s.go(tid, self.enter(Then::Revoke));
    }

    /// Opens the lock file and compares its owner. Then it is closed.
    pub fn revoke_look(&self, s: &mut State, tid: Tid) {
        let file = self.open_lock_file(s, self.host(tid));
        let record = file.map(|file| s.server.lock(file).record);
        let is_named = record == s.thread(tid).named;
        s.go(tid, if is_named { Pc::RevokeRemove } else { Pc::Unlock(After::NextOp) });
    }

    pub fn revoke_remove(&self, s: &mut State, tid: Tid) {
        let named = s.thread(tid).named;
        if let Some(owner) = named {
            s.lost.insert(owner);
            // A revoke that comes too late goes through in the midst of an append. The line still
            // precedes the next turn.
            if self.has_data_lock(s, tid) {
                s.revoked.insert(owner);
            }
        }
        self.saw(Event::Revoked);
        self.remove_named(s, tid, named);
        s.go(tid, Pc::Unlock(After::NextOp));
    }
}
