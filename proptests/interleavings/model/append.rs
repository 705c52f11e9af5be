//! Append, post and rewrite: everything that writes to the session file.

use super::fs::{Ofd, Record, Tid};
use super::lookup::OPS;
use super::state::{Event, State, Wrong};
use super::step::Choice;
use super::thread::{After, Pc, Then};
use super::world::{Op, Role, World};

impl World {
    pub fn at_closure(&self, tid: Tid) -> bool {
        self.threads[usize::from(tid)].role == Role::Closure
    }

    fn at_rewrite(&self, s: &State, tid: Tid) -> bool {
        self.op(tid, s.thread(tid).op) == Some(Op::Rewrite)
    }

    /// A closure's script is empty, so its one line has the last number.
    fn line(&self, s: &State, tid: Tid) -> u8 {
        if self.at_closure(tid) { tid * OPS + OPS - 1 } else { self.id(s, tid) }
    }

    /// I4, first half: the path names the turn's inode.
    pub fn fence_path(&self, s: &mut State, tid: Tid) {
        let pass = s.thread(tid).turn.is_some_and(|turn| s.fs.lock_path == Some(turn.ino));
        self.fenced(s, tid, pass, Pc::FenceRecord);
    }

    /// I4, second half: the record bears the turn's owner, and the turn is not closed.
    pub fn fence_record(&self, s: &mut State, tid: Tid) {
        let turn = s.thread(tid).turn.unwrap();
        let owner = s.fs.lock(turn.ino).record == Record::Owner(turn.owner);
        let open = !s.closed.has(turn.owner);
        let pass = (owner || self.bugs.no_owner_check) && (open || self.bugs.no_closed_check);
        let next = if self.at_rewrite(s, tid) {
            Pc::Carry
        } else if self.bugs.fence_early && !s.thread(tid).inside {
            Pc::Open(Then::Write)
        } else {
            Pc::Write
        };
        self.fenced(s, tid, pass, next);
    }

    fn fenced(&self, s: &mut State, tid: Tid, pass: bool, next: Pc) {
        if pass {
            return s.go(tid, next);
        }
        self.saw(Event::Refused);
        s.go(tid, Pc::Unlock(After::Lost));
    }

    /// One write at the end of the file, whatever its tail.
    pub fn write(&self, s: &mut State, tid: Tid, choice: Choice) {
        self.watch_write(s, tid);
        let whole = choice != Choice::Short;
        self.put_line(s, tid, whole);
        s.thread_mut(tid).made = false;
        let pc = match (whole, self.bugs.ack_session_only) {
            (false, _) => Pc::CutBack,
            (true, false) => Pc::FenceAgain,
            (true, true) => Pc::CompareAgain,
        };
        if !whole {
            s.budget.short -= 1;
        }
        s.go(tid, pc);
    }

    pub fn put_line(&self, s: &mut State, tid: Tid, whole: bool) {
        let (ino, id) = (s.thread(tid).data.unwrap(), self.line(s, tid));
        s.fs.write_line(ino, id, whole, !self.bugs.no_seal);
    }

    /// I4, checked at the write itself, and at a rewrite's rename. A write into a file that the
    /// path no longer names does no harm.
    fn watch_write(&self, s: &mut State, tid: Tid) {
        let Some(turn) = s.thread(tid).turn else {
            return;
        };
        let overtaken = s.latest != Some(turn.owner) || s.revoked.has(turn.owner);
        let named = s.thread(tid).data == s.fs.session_path;
        if named && (overtaken || s.thread(tid).late) {
            s.flag(self, Wrong::LostWrote);
        }
    }

    /// I9: the file gets its old length back if it has exactly the one this write gave it.
    pub fn cut_back(&self, s: &mut State, tid: Tid) {
        let (ino, id) = (s.thread(tid).data.unwrap(), self.line(s, tid));
        let lines = &mut s.fs.session_mut(ino).lines;
        if lines.last().is_some_and(|last| last.id == id) {
            lines.pop();
        }
        self.after_line(s, tid);
    }

    /// Is the lock file still the one under which, or beside which, the line was written? Otherwise
    /// another program may have read the session file before the line came, and rewrite it without
    /// it.
    pub fn fence_again(&self, s: &mut State, tid: Tid) {
        let thread = s.thread(tid);
        let kept = match (thread.turn, thread.file) {
            (Some(turn), _) => self.is_mine(s, turn),
            (None, beside) => beside == s.fs.lock_path,
        };
        if kept {
            return s.go(tid, Pc::CompareAgain);
        }
        self.after_line(s, tid);
    }

    /// The last step: if the path still names the session file, the append is acknowledged.
    pub fn compare_again(&self, s: &mut State, tid: Tid) {
        let named = s.thread(tid).data == s.fs.session_path;
        if named || self.bugs.no_last_compare {
            let id = self.line(s, tid);
            s.acked.insert(id);
        }
        self.after_line(s, tid);
    }

    fn after_line(&self, s: &mut State, tid: Tid) {
        let borrowed = self.has_borrowed(s, tid);
        let pc = match s.thread(tid).turn {
            Some(turn) if self.at_post(s, tid) => {
                s.closed.insert(turn.owner);
                Pc::UnlinkCheck
            }
            None if borrowed => Pc::PostedBorrowed,
            _ => Pc::Unlock(After::NextOp),
        };
        if !borrowed {
            s.thread_mut(tid).file = None;
        }
        s.go(tid, pc);
    }

    /// Seeded: does this post hold the lock of a dead owner without having taken it over?
    pub fn has_borrowed(&self, s: &State, tid: Tid) -> bool {
        let mine = Some(Ofd::Turn(self.id(s, tid)));
        let thread = s.thread(tid);
        thread.turn.is_none() && thread.file.is_some_and(|ino| s.fs.lock(ino).flock == mine)
    }

    pub fn give_back_borrowed(&self, s: &mut State, tid: Tid) {
        let mine = Ofd::Turn(self.id(s, tid));
        s.fs.unlock(|ofd| ofd == mine);
        s.thread_mut(tid).file = None;
        s.go(tid, Pc::Unlock(After::NextOp));
    }

    /// The new file is built from what is there, without the data lock.
    pub fn snapshot(&self, s: &mut State, tid: Tid) {
        if s.thread(tid).turn.is_none() {
            return s.next_op(self, tid);
        }
        let Some(old) = s.fs.session_path else {
            return s.next_op(self, tid);
        };
        let lines = s.fs.session(old).lines.clone();
        s.thread_mut(tid).carried = u8::try_from(lines.len()).unwrap();
        let fresh = s.fs.new_session(lines);
        s.thread_mut(tid).fresh = Some(fresh);
        s.go(tid, Pc::Open(Then::RewriteFence));
    }

    /// Under the data lock: what was posted since is carried over.
    pub fn carry(&self, s: &mut State, tid: Tid) {
        let (old, fresh) = (s.thread(tid).data.unwrap(), s.thread(tid).fresh.unwrap());
        let carried = usize::from(s.thread(tid).carried);
        let since: Vec<_> = s.fs.session(old).lines.iter().skip(carried).copied().collect();
        s.fs.session_mut(fresh).lines.extend(since);
        s.thread_mut(tid).carried = 0;
        let pc = if self.bugs.rewrite_new_unlocked { Pc::Rename } else { Pc::LockNew };
        s.go(tid, pc);
    }

    pub fn lock_new(&self, s: &mut State, tid: Tid) {
        let fresh = s.thread(tid).fresh.unwrap();
        s.fs.session_mut(fresh).flock = Some(Ofd::New(tid));
        s.go(tid, Pc::Rename);
    }

    pub fn rename(&self, s: &mut State, tid: Tid) {
        self.watch_write(s, tid);
        s.fs.session_path = s.thread(tid).fresh;
        self.saw(Event::Rewritten);
        s.go(tid, Pc::UnlockNew);
    }

    pub fn unlock_new(&self, s: &mut State, tid: Tid) {
        s.fs.unlock(|ofd| ofd == Ofd::New(tid));
        s.thread_mut(tid).fresh = None;
        // The rename was the last step inside: the old lock guards nothing any more.
        s.thread_mut(tid).inside = false;
        s.go(tid, Pc::Unlock(After::NextOp));
    }
}
