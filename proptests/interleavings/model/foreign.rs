//! A program that takes no kernel lock: `O_EXCL`, a record written afterwards, process ids,
//! remove-and-create.

use super::fs::{Record, Tid};
use super::state::{Event, State, Wrong};
use super::thread::Pc;
use super::world::{Op, World};

impl World {
    pub fn foreign_create(&self, s: &mut State, tid: Tid) {
        if s.fs.lock_path.is_some() {
            return s.go(tid, Pc::ForeignRead);
        }
        let ino = s.fs.new_lock(None, Record::Empty(tid));
        s.fs.lock_path = Some(ino);
        s.thread_mut(tid).file = Some(ino);
        s.go(tid, Pc::ForeignWrite);
    }

    pub fn foreign_read(&self, s: &mut State, tid: Tid) {
        let Some(record) = s.fs.named_record() else {
            return s.go(tid, Pc::ForeignCreate);
        };
        if self.foreign_thinks_dead(s, record) {
            return s.go(tid, Pc::ForeignReclaim);
        }
        s.thread_mut(tid).seen = Some(self.glimpse(s));
        s.go(tid, Pc::ForeignPoll);
    }

    fn foreign_thinks_dead(&self, s: &State, record: Record) -> bool {
        match record {
            Record::Owner(owner) => !s.alive.has(self.pid_of_owner(owner)),
            Record::Foreign(peer) | Record::Empty(peer) => !s.alive.has(self.pid(peer)),
            // Malformed for long: nobody is in the middle of rewriting it.
            Record::Spoiled => !self.glimpse(s).2,
        }
    }

    /// It removes whatever is there by now, and creates its own: a race that is foreign programs'
    /// own.
    pub fn foreign_reclaim(&self, s: &mut State, tid: Tid) {
        self.lose_path(s);
        s.fs.lock_path = None;
        s.go(tid, Pc::ForeignCreate);
    }

    pub fn foreign_look_again(&self, s: &mut State, tid: Tid) {
        s.thread_mut(tid).seen = None;
        s.go(tid, Pc::ForeignCreate);
    }

    /// The record goes to the inode that it made, whatever has become of it.
    pub fn foreign_write(&self, s: &mut State, tid: Tid) {
        let ino = s.thread_mut(tid).file.take().unwrap();
        self.overwrite(s, ino);
        s.fs.lock_mut(ino).record = Record::Foreign(tid);
        self.saw(Event::ForeignHeld);
        if s.fs.lock_path == Some(ino) && self.post_in_flight(s) {
            s.flag(self, Wrong::PostOvertaken);
        }
        let pc = match self.op(tid, s.thread(tid).op) {
            Some(Op::ForeignRewrite) => Pc::ForeignLoad,
            _ => Pc::ForeignOpen,
        };
        s.go(tid, pc);
    }

    fn overwrite(&self, s: &mut State, ino: u8) {
        for turn in s.rightful() {
            if turn.ino == ino {
                s.lost.insert(turn.owner);
            }
        }
    }

    /// Is there a post that this foreign program had to wait for? It need not wait for a post
    /// beside a turn whose holder died, as the record says, nor for one whose own lock was removed
    /// by the program's remove-and-create.
    fn post_in_flight(&self, s: &State) -> bool {
        (0..).zip(&s.threads).any(|(tid, thread)| {
            let writing = thread.pc.is_writing();
            let respected = match thread.turn {
                Some(turn) => !s.lost.has(turn.owner),
                None => self.has_borrowed(s, tid) || self.budget.crash == 0,
            };
            self.at_post(s, tid) && writing && respected
        })
    }

    /// It takes no lock of ours, and makes the file if there is none.
    pub fn foreign_open(&self, s: &mut State, tid: Tid) {
        let ino = s.fs.session_path.unwrap_or_else(|| s.fs.new_session(Vec::new()));
        s.fs.session_path.get_or_insert(ino);
        s.thread_mut(tid).data = Some(ino);
        s.go(tid, Pc::ForeignAppend);
    }

    pub fn foreign_append(&self, s: &mut State, tid: Tid) {
        let (ino, id) = (s.thread_mut(tid).data.take().unwrap(), self.id(s, tid));
        s.fs.write_line(ino, id, true, false);
        s.go(tid, Pc::ForeignRemove);
    }

    pub fn foreign_load(&self, s: &mut State, tid: Tid) {
        let known = s.fs.session_path.map_or(0, |ino| s.fs.session(ino).lines.len());
        s.thread_mut(tid).carried = u8::try_from(known).unwrap();
        s.go(tid, Pc::ForeignStore);
    }

    /// The file becomes what was read and one more line. What came in between is lost.
    pub fn foreign_store(&self, s: &mut State, tid: Tid) {
        let (id, known) = (self.id(s, tid), usize::from(s.thread(tid).carried));
        if let Some(ino) = s.fs.session_path {
            s.fs.session_mut(ino).lines.truncate(known);
            s.fs.write_line(ino, id, true, true);
        }
        s.thread_mut(tid).carried = 0;
        s.go(tid, Pc::ForeignRemove);
    }

    pub fn foreign_remove(&self, s: &mut State, tid: Tid) {
        self.lose_path(s);
        s.fs.lock_path = None;
        s.next_op(self, tid);
    }
}
