//! Release: hand over, unlink, or leave the file. And everything else that unlinks a lock file.

use super::fs::{Ino, Ofd, Record, Tid};
use super::state::{Event, State, Wrong};
use super::step::Choice;
use super::thread::{After, Pc, Then, Turn};
use super::world::{Budget, Op, Role, World};

impl World {
    /// The turn is closed first. Then the hints suggest one of three ways.
    pub fn choose(&self, s: &mut State, tid: Tid, choice: Choice) {
        let Some(turn) = s.thread(tid).turn else {
            return s.next_op(self, tid);
        };
        s.closed.insert(turn.owner);
        match choice {
            Choice::HandOver(heir) => {
                s.thread_mut(tid).heir = Some(heir);
                s.go(tid, Pc::Open(Then::HandCheck));
            }
            Choice::Unlink => s.go(tid, self.enter(Then::UnlinkCheck)),
            Choice::Keep => self.keep(s, tid),
            _ => s.go(tid, Pc::LetGo),
        }
    }

    /// Numbers the records of a process in the order in which they are written, if it has a keeper
    /// who asks.
    pub fn number_record(&self, s: &mut State, tid: Tid) -> u8 {
        s.records += u8::from(self.keeper_of(tid).is_some());
        s.records
    }

    /// Tells the keeper to look after the last record of its process, wherever that was left.
    /// Earlier records are gone, or have been taken over.
    fn put_by(&self, s: &mut State, keeper: Tid, turn: Turn, made: bool) {
        let keeper = s.thread_mut(keeper);
        let forgotten = self.bugs.keeper_forgets_the_next && keeper.pc != Pc::Idle;
        if !forgotten && keeper.next.is_none_or(|(other, _)| other.number < turn.number) {
            keeper.next = Some((turn, made));
        }
    }

    /// A while later.
    pub fn look_after(&self, s: &mut State, keeper: Tid) {
        let Some((turn, made)) = s.thread_mut(keeper).next.take() else { return };
        let left_behind = self.is_mine(s, turn);
        let enter = self.enter(Then::KeepTry);
        if !left_behind {
            return;
        }
        let thread = s.thread_mut(keeper);
        thread.file = Some(turn.ino);
        thread.named = Some(Record::Owner(turn.owner));
        thread.made = made;
        thread.pc = enter;
    }

    /// The turn is over, but the keeper keeps its lock for the next one of this process (I8).
    fn keep(&self, s: &mut State, tid: Tid) {
        let (turn, made) = (s.thread_mut(tid).turn.take(), s.thread(tid).made);
        let keeper = s.thread_mut(self.keeper_of(tid).unwrap());
        (keeper.turn, keeper.made, keeper.next, keeper.pc) = (turn, made, None, Pc::Keeping);
        self.end_turn(s, tid);
    }

    /// Who keeps a lock for this thread's process.
    pub fn keeps(&self, s: &State, tid: Tid) -> Option<Tid> {
        self.keeper_of(tid).filter(|&keeper| s.thread(keeper).pc == Pc::Keeping)
    }

    /// The run is over: it is the turn of other processes.
    pub fn end_keeping(&self, s: &mut State, keeper: Tid) {
        let turn = s.thread_mut(keeper).turn.take().unwrap();
        s.fs.unlock(|ofd| ofd == Ofd::Turn(turn.ofd));
        let made = std::mem::take(&mut s.thread_mut(keeper).made);
        s.go(keeper, Pc::Idle);
        self.put_by(s, keeper, turn, made);
    }

    /// The next turn of the process is handed the one that was kept, unless it is gone.
    pub fn go_on(&self, s: &mut State, tid: Tid) {
        let keeper = s.thread_mut(self.keeper_of(tid).unwrap());
        let (turn, made) = (keeper.turn.take(), std::mem::take(&mut keeper.made));
        keeper.pc = Pc::Idle;
        let thread = s.thread_mut(tid);
        (thread.turn, thread.made, thread.heir) = (turn, made, Some(tid));
        s.door[usize::from(self.pid(tid))] = Some(tid);
        s.go(tid, Pc::Open(Then::HandCheck));
    }

    /// Does the path still name the turn's inode, and the record its owner?
    pub fn is_mine(&self, s: &State, turn: Turn) -> bool {
        s.fs.lock_path == Some(turn.ino) && s.fs.lock(turn.ino).record == Record::Owner(turn.owner)
    }

    pub fn hand_check(&self, s: &mut State, tid: Tid) {
        let blindly = self.bugs.go_on_blindly && s.thread(tid).heir == Some(tid);
        let pc = if blindly || self.is_mine(s, s.thread(tid).turn.unwrap()) {
            Pc::HandSpoil
        } else {
            s.thread_mut(tid).heir = None;
            Pc::Unlock(After::LetGo)
        };
        s.go(tid, pc);
    }

    pub fn hand_spoil(&self, s: &mut State, tid: Tid) {
        let turn = s.thread(tid).turn.unwrap();
        self.changes(s, tid);
        s.fs.lock_mut(turn.ino).record = Record::Spoiled;
        s.go(tid, Pc::HandRestore);
    }

    pub fn hand_restore(&self, s: &mut State, tid: Tid) {
        let turn = s.thread_mut(tid).turn.take().unwrap();
        let heir = s.thread_mut(tid).heir.take().unwrap();
        let owner = self.id(s, heir);
        self.changes(s, tid);
        s.fs.lock_mut(turn.ino).record = Record::Owner(owner);
        s.latest = Some(owner);
        let number = self.number_record(s, tid);
        let known = self.known_of(s, s.thread(tid).data);
        let thread = s.thread_mut(heir);
        (thread.turn, thread.known) = (Some(Turn { owner, number, ..turn }), known);
        if heir == tid {
            self.saw(Event::WentOn);
            return s.go(tid, Pc::Unlock(After::NextOp));
        }
        self.saw(Event::HandedOver);
        s.door[usize::from(self.pid(tid))] = Some(heir);
        if self.unwinds(s, heir) {
            // The heir is gone: the turn that came too late is dropped.
            s.closed.insert(owner);
            s.go(heir, Pc::LetGo);
        } else {
            s.next_op(self, heir);
        }
        s.go(tid, Pc::Unlock(After::NextOp));
    }

    pub fn unlink_check(&self, s: &mut State, tid: Tid) {
        let mine = self.is_mine(s, s.thread(tid).turn.unwrap());
        let pc = if !mine && !self.bugs.unlink_blindly {
            Pc::Unlock(After::LetGo)
        } else if s.thread(tid).made && !self.bugs.session_removed_last {
            self.disown_first()
        } else {
            Pc::Unlink
        };
        s.go(tid, pc);
    }

    pub fn unlink(&self, s: &mut State, tid: Tid) {
        let turn = s.thread(tid).turn.unwrap();
        self.unlink_lock(s, tid, Some(Record::Owner(turn.owner)));
        let last = s.thread(tid).made && self.bugs.session_removed_last;
        s.go(tid, if last { Pc::RemoveSession } else { Pc::Unlock(After::LetGo) });
    }

    /// What comes before the removal of a session file that nobody used.
    pub fn disown_first(&self) -> Pc {
        if self.bugs.not_disowned { Pc::RemoveSession } else { Pc::Disown }
    }

    /// The record loses its owner: from now on no revoke can name it.
    pub fn disown(&self, s: &mut State, tid: Tid) {
        let thread = s.thread(tid);
        let ino = thread.turn.map(|turn| turn.ino).or(thread.file).unwrap();
        s.fs.lock_mut(ino).record = Record::Spoiled;
        s.go(tid, Pc::RemoveSession);
    }

    /// A turn that wrote nothing removes the empty session file that it made, while it has the turn
    /// lock (I14).
    pub fn remove_session(&self, s: &mut State, tid: Tid) {
        let ino = s.thread(tid).data.unwrap();
        if s.fs.session(ino).lines.is_empty() && s.fs.session_path == Some(ino) {
            s.fs.session_path = None;
            // The data lock goes with it: the next section is on another inode.
            s.thread_mut(tid).inside = false;
            self.watch_removal(s, ino);
        }
        let keeper = self.threads[usize::from(tid)].role == Role::Keeper;
        let next = match (keeper, self.bugs.session_removed_last) {
            (false, false) => Pc::Unlink,
            (false, true) => Pc::Unlock(After::LetGo),
            (true, false) => Pc::KeepUnlink,
            (true, true) => Pc::KeepLetGo,
        };
        s.go(tid, next);
    }

    /// I14: a file that a foreign program is about to write to is not removed.
    fn watch_removal(&self, s: &mut State, ino: Ino) {
        let written_to = s
            .threads
            .iter()
            .any(|thread| thread.pc == Pc::ForeignAppend && thread.data == Some(ino));
        if written_to {
            s.flag(self, Wrong::RemovedInUse);
        }
    }

    /// Has this thread removed the session file, and with it the data lock, a moment ago? An `rm`
    /// in that moment lets a third party in, whose fresh lock this thread then removes
    /// (`limits.rs`).
    fn has_no_guard(&self, s: &State, tid: Tid) -> bool {
        let thread = s.thread(tid);
        matches!(thread.pc, Pc::Unlink | Pc::KeepUnlink) && thread.made && !thread.inside
    }

    /// `LOCK_UN`, then `close`.
    pub fn let_go(&self, s: &mut State, tid: Tid) {
        let mut turn = s.thread_mut(tid).turn.take().unwrap();
        let mine = Ofd::Turn(turn.ofd);
        let copied = self.bugs.close_only && s.child == Some(mine);
        if !copied {
            s.fs.unlock(|ofd| ofd == mine);
        }
        let untold = self.bugs.panic_untold && self.unwinds(s, tid);
        if self.keeper_of(tid).is_none() || untold {
            return self.after_release(s, tid);
        }
        if self.bugs.numbered_when_let_go {
            turn.number = self.number_record(s, tid);
        }
        let made = s.thread(tid).made;
        s.thread_mut(tid).next = Some((turn, made));
        s.go(tid, Pc::Tell);
    }

    /// Another thread of the process may have released, and told the keeper, in between.
    pub fn tell(&self, s: &mut State, tid: Tid) {
        let (mut turn, made) = s.thread_mut(tid).next.take().unwrap();
        if self.bugs.numbered_when_told {
            turn.number = self.number_record(s, tid);
        }
        self.put_by(s, self.keeper_of(tid).unwrap(), turn, made);
        self.after_release(s, tid);
    }

    fn after_release(&self, s: &mut State, tid: Tid) {
        match self.op(tid, s.thread(tid).op) {
            Some(Op::Post) => s.next_op(self, tid),
            // The kept lock is gone: it asks like everybody.
            Some(Op::Acquire) => {
                s.thread_mut(tid).made = false;
                s.door[usize::from(self.pid(tid))] = None;
                s.go(tid, Pc::Door);
            }
            _ => self.end_turn(s, tid),
        }
    }

    fn end_turn(&self, s: &mut State, tid: Tid) {
        s.thread_mut(tid).made = false;
        self.leave_door(s, tid);
        s.next_op(self, tid);
    }

    /// The next one of this process may contend.
    pub fn leave_door(&self, s: &mut State, tid: Tid) {
        let door = &mut s.door[usize::from(self.pid(tid))];
        *door = door.filter(|&at| at != tid);
    }

    /// `unlink` of the lock path by a thread that means `meant`. Checked for I2 and I14.
    pub fn unlink_lock(&self, s: &mut State, tid: Tid, meant: Option<Record>) {
        let no_guard = self.has_no_guard(s, tid);
        if !no_guard {
            self.changes(s, tid);
        }
        let excused = no_guard && self.budget.rm > 0 && !self.beyond_limits;
        let victims = self.living_at_path(s);
        if !excused && victims.iter().any(|&victim| Some(victim) != meant) {
            s.flag(self, Wrong::LiveUnlinked);
        }
        self.lose_path(s);
        s.fs.lock_path = None;
    }

    /// The records of those who rightfully hold what the lock path names.
    fn living_at_path(&self, s: &State) -> Vec<Record> {
        let ino = s.fs.lock_path;
        let ours = s
            .rightful()
            .into_iter()
            .filter(|turn| Some(turn.ino) == ino)
            .map(|turn| Record::Owner(turn.owner));
        // Between a compare and an unlink a foreign program may come in: after an `rm`, by its own
        // remove-and-create of a dead owner's lock (or of one that died as it took over), or when
        // it is slower than our grace. No system call closes that.
        let Budget { rm, crash, panic, .. } = self.budget;
        let shut_out = rm + crash + panic == 0 && !self.slow_foreign;
        let foreign = s.fs.named_record().filter(|&record| match record {
            Record::Foreign(tid) | Record::Empty(tid) => shut_out && s.alive.has(self.pid(tid)),
            _ => false,
        });
        ours.chain(foreign).collect()
    }

    /// Whoever holds the file at the lock path is about to lose it.
    pub fn lose_path(&self, s: &mut State) {
        for turn in s.rightful() {
            if s.fs.lock_path == Some(turn.ino) {
                s.lost.insert(turn.owner);
            }
        }
        if let Some(ino) = s.fs.lock_path {
            self.lose_coming(s, ino);
        }
    }

    /// A thread that has compared and is about to be established on this inode loses it, too.
    fn lose_coming(&self, s: &mut State, ino: Ino) {
        for tid in (0..).take(s.threads.len()) {
            let thread = s.thread(tid);
            let coming = match (thread.pc, thread.heir) {
                (Pc::Judge | Pc::Spoil | Pc::Restore, _) => {
                    (thread.file == Some(ino)).then_some(tid)
                }
                (Pc::Exchanged, _) => {
                    thread.exchanged.is_some_and(|(new, _)| new == ino).then_some(tid)
                }
                (Pc::HandSpoil | Pc::HandRestore, Some(heir)) => {
                    thread.turn.is_some_and(|turn| turn.ino == ino).then_some(heir)
                }
                _ => None,
            };
            if let Some(coming) = coming {
                let owner = self.id(s, coming);
                s.lost.insert(owner);
            }
        }
    }
}
