//! Append, post and rewrite: everything that writes to the session file.

use super::fs::{Ino, Ofd, Record, Tid};
use super::lookup::OPS;
use super::state::{Event, State, Wrong};
use super::step::Choice;
use super::thread::{After, Known, Pc, Then, Thread};
use super::world::{Op, Role, World};

impl World {
    pub fn at_closure(&self, tid: Tid) -> bool {
        self.threads[usize::from(tid)].role == Role::Closure
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
        if pass && s.thread(tid).changed && !self.bugs.not_told {
            return self.told(s, tid);
        }
        let op = self.op(tid, s.thread(tid).op);
        let next = if op == Some(Op::Rewrite) {
            Pc::Carry
        } else if op == Some(Op::Remove) {
            Pc::Away
        } else if op == Some(Op::Made) && s.thread(tid).looked.is_none() {
            Pc::Make
        } else if self.bugs.fence_early && !s.thread(tid).inside {
            Pc::Open(Then::Write)
        } else {
            Pc::Write
        };
        self.fenced(s, tid, pass, next);
    }

    /// The session file is not as the holder knew it: it is told before anything is written.
    fn told(&self, s: &mut State, tid: Tid) {
        self.saw(Event::Told);
        let closure = self.at_closure(tid);
        s.go(tid, Pc::Unlock(if closure { After::Lost } else { After::Told }));
    }

    fn fenced(&self, s: &mut State, tid: Tid, pass: bool, next: Pc) {
        if pass {
            return s.go(tid, next);
        }
        self.saw(Event::Refused);
        s.go(tid, Pc::Unlock(After::Lost));
    }

    /// The program makes a line from the last one. Then the fence is passed once more.
    pub fn make(&self, s: &mut State, tid: Tid) {
        let inside = s.thread(tid).inside;
        let file = if inside { s.thread(tid).data } else { s.fs.session_path };
        let last = file.and_then(|ino| s.fs.session(ino).lines.last());
        if last.is_some_and(|last| last.id / OPS != tid) {
            self.saw(Event::MadeBehindPost);
        }
        s.thread_mut(tid).looked = Some(last.map(|last| last.id));
        s.go(tid, if inside { Pc::FencePath } else { Pc::Open(Then::Fence) });
    }

    /// The session file goes from its path, with all its lines. The turn knows of none then.
    pub fn away(&self, s: &mut State, tid: Tid) {
        self.watch_write(s, tid);
        if let Some(ino) = s.fs.session_path.take() {
            let lines: Vec<_> = s.fs.session(ino).lines.iter().map(|line| line.id).collect();
            lines.into_iter().for_each(|id| s.lose_line(id));
        }
        s.thread_mut(tid).known = None;
        // The old lock guards nothing any more.
        s.thread_mut(tid).inside = false;
        self.saw(Event::Removed);
        s.go(tid, Pc::Unlock(After::NextOp));
    }

    /// One write at the end of the file, whatever its tail.
    pub fn write(&self, s: &mut State, tid: Tid, choice: Choice) {
        self.watch_write(s, tid);
        self.watch_made(s, tid);
        let whole = choice != Choice::Short;
        self.put_line(s, tid, whole);
        self.knows_what_it_wrote(s, tid);
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

    fn knows_what_it_wrote(&self, s: &mut State, tid: Tid) {
        if s.thread(tid).known.is_some() {
            s.thread_mut(tid).known = self.known_of(s, s.thread(tid).data);
        }
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
        if named && s.thread(tid).changed {
            s.flag(self, Wrong::WroteUntold);
        }
    }

    /// I11: nobody has written since the last line was looked at.
    fn watch_made(&self, s: &mut State, tid: Tid) {
        let Thread { looked: Some(looked), data, .. } = *s.thread(tid) else { return };
        let last = data.and_then(|ino| s.fs.session(ino).lines.last().map(|line| line.id));
        if last != looked {
            s.flag(self, Wrong::MadeFromOther);
        }
    }

    /// I9: the file gets its old length back if it has exactly the one this write gave it.
    pub fn cut_back(&self, s: &mut State, tid: Tid) {
        let (ino, id) = (s.thread(tid).data.unwrap(), self.line(s, tid));
        let lines = &mut s.fs.session_mut(ino).lines;
        if lines.last().is_some_and(|last| last.id == id) {
            lines.pop();
        }
        self.knows_what_it_wrote(s, tid);
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
            self.acknowledge(s, id);
        }
        self.after_line(s, tid);
    }

    /// A line that was cut off between its write and now cannot be missed.
    fn acknowledge(&self, s: &mut State, id: u8) {
        if !s.cut.has(id) {
            s.acked.insert(id);
        }
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
        let open = thread.file.and_then(|ino| s.fs.locks.get(usize::from(ino))?.as_ref());
        thread.turn.is_none() && open.is_some_and(|file| file.flock == mine)
    }

    /// Seeded: does this thread, which writes beside a turn, only remember which lock file that
    /// was?
    pub fn remembers_only(&self, thread: &Thread) -> bool {
        self.bugs.beside_unpinned && thread.turn.is_none() && thread.pc.is_writing()
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
        s.thread_mut(tid).known = self.known_of(s, Some(old));
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
        if self.lost_sight(s, tid) {
            return self.told(s, tid);
        }
        let since: Vec<_> = s.fs.session(old).lines.iter().skip(carried).copied().collect();
        s.fs.session_mut(fresh).lines.extend(since);
        s.thread_mut(tid).carried = 0;
        let pc = if self.bugs.rewrite_new_unlocked { Pc::Rename } else { Pc::LockNew };
        s.go(tid, pc);
    }

    /// Is the line that was seen last not where it was? The file was cut, and has grown again.
    fn lost_sight(&self, s: &State, tid: Tid) -> bool {
        let Thread { known, data, .. } = s.thread(tid);
        let Some(Known { lines, last, .. }) = known.filter(|known| known.lines > 0) else {
            return false;
        };
        let at = usize::from(lines - 1);
        let now = s.fs.session(data.unwrap()).lines.get(at).map(|line| line.id);
        now != last && !self.bugs.length_only && !self.bugs.not_told
    }

    pub fn lock_new(&self, s: &mut State, tid: Tid) {
        let fresh = s.thread(tid).fresh.unwrap();
        s.fs.session_mut(fresh).flock = Some(Ofd::New(tid));
        s.go(tid, Pc::Rename);
    }

    pub fn rename(&self, s: &mut State, tid: Tid) {
        self.watch_write(s, tid);
        self.excuse_displaced(s, tid);
        s.fs.session_path = s.thread(tid).fresh;
        self.saw(Event::Rewritten);
        s.go(tid, Pc::UnlockNew);
    }

    /// Another file may have come to the path since the section compared it. A rename does not
    /// tell, and what is in that file is lost (`limits.rs`).
    fn excuse_displaced(&self, s: &mut State, tid: Tid) {
        let Thread { data, fresh, .. } = *s.thread(tid);
        if s.fs.session_path == data || self.beyond_limits {
            return;
        }
        let lines = |file: Option<Ino>| file.map_or(&[][..], |ino| &s.fs.session(ino).lines);
        let kept = lines(fresh).iter().map(|line| line.id).collect::<Vec<_>>();
        let displaced = lines(s.fs.session_path).iter().map(|line| line.id);
        let lost: Vec<_> = displaced.filter(|id| !kept.contains(id)).collect();
        for id in lost {
            s.lose_line(id);
        }
    }

    pub fn unlock_new(&self, s: &mut State, tid: Tid) {
        s.fs.unlock(|ofd| ofd == Ofd::New(tid));
        s.thread_mut(tid).known = self.known_of(s, s.thread(tid).fresh);
        s.thread_mut(tid).fresh = None;
        // The rename was the last step inside: the old lock guards nothing any more.
        s.thread_mut(tid).inside = false;
        s.go(tid, Pc::Unlock(After::NextOp));
    }
}
