//! A panic of user code: a thread unwinds, and its process lives on.

use super::fs::{Ofd, Tid};
use super::state::State;
use super::thread::{After, Pc};
use super::world::{Op, World};

impl World {
    /// A thread that takes turns or posts. Where it only unwinds any more, or puts back what it has
    /// exchanged, nothing is left to panic.
    pub fn may_panic(&self, s: &State, tid: Tid) -> bool {
        let thread = s.thread(tid);
        let ends = matches!(thread.pc, Pc::Done | Pc::Dead | Pc::LetGo | Pc::Tell);
        let works = !ends && thread.exchanged.is_none();
        let ours = self.op(tid, thread.op).is_some() && !self.is_foreign(tid);
        let pid = self.pid(tid);
        works && ours && s.alive.has(pid) && !s.stopped.has(pid)
    }

    /// A thread that contends for the turn on behalf of a task: a waiting thread.
    pub fn may_die_for_its_task(&self, s: &State, tid: Tid) -> bool {
        let thread = s.thread(tid);
        let contends = self.op(tid, thread.op) == Some(Op::Acquire) && thread.turn.is_none();
        contends && s.door[usize::from(self.pid(tid))] == Some(tid) && self.may_panic(s, tid)
    }

    /// The waiting thread unwinds. Its task lives, and asks anew.
    pub fn thread_dies(&self, s: &mut State, tid: Tid) {
        s.budget.panic -= 1;
        self.give_back(s, tid);
        s.go(tid, Pc::Door);
    }

    /// What a thread without a turn has.
    fn give_back(&self, s: &mut State, tid: Tid) {
        self.close_wanted(s, tid);
        Self::close_session(s, tid);
        s.thread_mut(tid).seen = None;
        if !self.bugs.stage_kept {
            self.leave_door(s, tid);
        }
    }

    /// The thread unwinds, and its task with it. Whatever the thread has is given back by the
    /// destructors: the data lock, the lock file that it was about to take, the stage of its queue,
    /// and its turn.
    pub fn panic(&self, s: &mut State, tid: Tid) {
        s.budget.panic -= 1;
        s.fs.unlock(|ofd| [Ofd::New(tid), Ofd::Keeper(tid)].contains(&ofd));
        Self::drop_rewrite(s, tid);
        let turn = s.thread(tid).turn;
        match turn {
            Some(turn) => s.closed.insert(turn.owner),
            None => self.give_back(s, tid),
        }
        if let Some(heir) = s.thread(tid).heir {
            // It has lost nothing: it asks anew.
            let owner = self.id(s, heir);
            s.lost.remove(owner);
        }
        // Nothing of its script is left to do.
        let ops = u8::try_from(self.threads[usize::from(tid)].script.len()).unwrap();
        let thread = s.thread_mut(tid);
        (thread.op, thread.heir, thread.seen, thread.named) = (ops, None, None, None);
        let pc = match turn {
            Some(_) if thread.data.is_some() => Pc::Unlock(After::LetGo),
            Some(_) => Pc::LetGo,
            None => Pc::Done,
        };
        s.go(tid, pc);
    }
}
