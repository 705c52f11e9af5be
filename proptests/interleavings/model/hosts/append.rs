//! The fence (I4, I18), and an append (I9, I20).

use super::server::Tid;
use super::state::{After, Event, Next, Pc, State, Then, Wrong};
use super::world::{Op, World};

impl World {
    pub fn compare_lock(&self, s: &mut State, tid: Tid, then: Then) {
        if then == Then::Settle {
            return self.settle(s, tid);
        }
        let thread = s.thread(tid);
        let is_mine = thread.file.is_some() && thread.id.is_some();
        if is_mine && self.look_up_lock(s, self.host(tid)) == s.thread(tid).file {
            if then == Then::Resume {
                return s.go(tid, Pc::Record(then));
            }
            return s.go(tid, if self.bugs.no_flock { Pc::Record(then) } else { Pc::Flock(then) });
        }
        self.lose_turn(s, tid, then);
    }

    fn lose_turn(&self, s: &mut State, tid: Tid, then: Then) {
        let pc = match then {
            Then::Release => Pc::LetGo,
            Then::Published | Then::Resume => {
                Self::close_lock(s, tid);
                Pc::Unlock(After::Again)
            }
            _ => Pc::Unlock(After::Lost),
        };
        s.go(tid, pc);
    }

    /// The lock is taken again, without waiting. A host to which the file is delegated does not
    /// ask.
    pub fn flock(&self, s: &mut State, tid: Tid, then: Then) {
        let thread = s.thread(tid);
        let (file, id, host) = (thread.file.unwrap(), thread.id, self.host(tid));
        let is_held = if self.delegated {
            id.is_some_and(|id| id.era == s.client(host).era)
        } else {
            s.server.lock(file).lock == id
        };
        if is_held {
            if !self.delegated && !self.bugs.record_from_copy {
                s.client_mut(host).drop_record(file);
            }
            return s.go(tid, Pc::Record(then));
        }
        self.saw(Event::Expired);
        if self.bugs.given_up_is_held {
            return s.go(tid, Pc::Record(then));
        }
        self.lose_turn(s, tid, then);
    }

    pub fn record(&self, s: &mut State, tid: Tid, then: Then) {
        let thread = s.thread(tid);
        let (file, id, host) = (thread.file.unwrap(), thread.id, self.host(tid));
        let owner = thread.turn.or(thread.left).unwrap_or(Self::number(tid, thread.op));
        let record = match s.client(host).record(file) {
            Some(record) => record,
            // A read is made under the state id, too.
            None if s.server.lock(file).lock != id => {
                return match self.bugs.given_up_is_held {
                    true => self.passed(s, tid, then),
                    false => self.lose_turn(s, tid, then),
                };
            }
            None => s.server.lock(file).record,
        };
        s.client_mut(host).keep_record(file, record);
        if record == owner {
            self.passed(s, tid, then);
        } else {
            self.lose_turn(s, tid, then);
        }
    }

    fn passed(&self, s: &mut State, tid: Tid, then: Then) {
        match then {
            Then::Published => {
                self.saw(Event::Published);
                self.hold(s, tid);
            }
            Then::Resume => {
                self.saw(Event::Resumed);
                s.thread_mut(tid).left = None;
                s.go(tid, Pc::TakeOver);
            }
            Then::Release => s.go(tid, Pc::RemoveLock),
            Then::Rewrite => s.go(tid, Pc::Carry),
            _ => s.go(tid, Pc::Write),
        }
    }

    fn line(&self, s: &State, tid: Tid) -> u8 {
        Self::number(tid, s.thread(tid).op)
    }

    /// The host has the line.
    pub fn write(&self, s: &mut State, tid: Tid) {
        if self.bugs.acknowledged_unsent {
            s.acked.insert(self.line(s, tid));
        }
        s.go(tid, Pc::Send);
    }

    /// The server gets it, under the state id of the data lock, and syncs it.
    pub fn send(&self, s: &mut State, tid: Tid, synced: bool) {
        let thread = s.thread(tid);
        let (file, at, id) = (thread.data.unwrap(), usize::from(thread.end), thread.data_id);
        if s.server.session(file).lock != id && !self.bugs.writes_untied {
            self.saw(Event::WriteRefused);
            return self.after_line(s, tid);
        }
        self.watch_write(s, tid);
        let line = self.line(s, tid);
        let lines = &mut s.server.session_mut(file).lines;
        match lines.get_mut(at) {
            // The host goes by the length that it knows.
            Some(other) => *other = line,
            None => lines.push(line),
        }
        if synced {
            return s.go(tid, self.fetching(Next::Confirm));
        }
        s.budget.unsynced -= 1;
        s.go(tid, if self.bugs.cut_back_unlocked { Pc::Cut } else { Pc::LockToCut });
    }

    /// I4: the turn is another's by now.
    pub fn watch_write(&self, s: &mut State, tid: Tid) {
        let Some(owner) = s.thread(tid).turn else { return };
        if s.lost.has(owner) && (s.latest != Some(owner) || s.revoked.has(owner)) {
            s.flag(self, Wrong::LostWrote);
        }
    }

    /// The data lock is taken again before the file is cut (I20).
    pub fn lock_to_cut(&self, s: &mut State, tid: Tid) {
        let thread = s.thread(tid);
        if s.server.session(thread.data.unwrap()).lock == thread.data_id {
            return s.go(tid, Pc::Cut);
        }
        self.saw(Event::NotCutBack);
        self.after_line(s, tid);
    }

    /// A change of length goes by the state id of the data lock as well.
    pub fn cut(&self, s: &mut State, tid: Tid) {
        let thread = s.thread(tid);
        let (file, at, id) = (thread.data.unwrap(), usize::from(thread.end), thread.data_id);
        if s.server.session(file).lock == id || self.bugs.cut_back_unlocked {
            self.saw(Event::CutBack);
            s.server.session_mut(file).lines.truncate(at);
        }
        self.after_line(s, tid);
    }

    /// Compares once more, and acknowledges (I9).
    pub fn confirm(&self, s: &mut State, tid: Tid) {
        let host = self.host(tid);
        let is_named = self.look_up_lock(s, host) == s.thread(tid).file
            && (!self.session_moves() || self.look_up_session(s, host) == s.thread(tid).data);
        if is_named {
            s.acked.insert(self.line(s, tid));
        }
        self.after_line(s, tid);
    }

    fn after_line(&self, s: &mut State, tid: Tid) {
        let is_post = self.op(tid, s.thread(tid).op) == Some(Op::Post);
        let pc = match s.thread(tid).turn {
            // A post that has taken a turn gives it back, in the same section.
            Some(_) if is_post => self.fetching(Next::CompareLock(Then::Release)),
            None => {
                s.thread_mut(tid).file = None;
                Pc::Unlock(After::NextOp)
            }
            Some(_) => Pc::Unlock(After::NextOp),
        };
        s.go(tid, pc);
    }
}
