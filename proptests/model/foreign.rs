//! A program that takes no kernel lock: `O_EXCL`, a record written afterwards, process ids, remove-and-create.

use crate::fs::{Record, Tid};
use crate::state::{Event, Pc, State, Wrong};
use crate::world::World;

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

    /// It removes whatever is there by now, and creates anew: the field's own race.
    pub fn foreign_reclaim(&self, s: &mut State, tid: Tid) {
        self.lose_path(s);
        s.fs.lock_path = None;
        s.go(tid, Pc::ForeignCreate);
    }

    pub fn foreign_look_again(&self, s: &mut State, tid: Tid) {
        s.thread_mut(tid).seen = None;
        s.go(tid, Pc::ForeignCreate);
    }

    /// The record goes to the inode it made, whatever has become of that.
    pub fn foreign_write(&self, s: &mut State, tid: Tid) {
        let ino = s.thread_mut(tid).file.take().unwrap();
        self.overwrite(s, ino);
        s.fs.lock_mut(ino).record = Record::Foreign(tid);
        self.saw(Event::ForeignHeld);
        if s.fs.lock_path == Some(ino) && self.post_in_flight(s) {
            s.flag(Wrong::PostOvertaken);
        }
        s.go(tid, Pc::ForeignAppend);
    }

    fn overwrite(&self, s: &mut State, ino: u8) {
        for turn in s.rightful() {
            if turn.ino == ino {
                s.lost.insert(turn.owner);
            }
        }
    }

    /// Is there a post that this foreign program had to wait for? Not one beside a turn whose holder died (its
    /// record says so), nor one whose own lock the peer's remove-and-create has removed.
    fn post_in_flight(&self, s: &State) -> bool {
        (0..).zip(&s.threads).any(|(tid, thread)| {
            let writing = matches!(thread.pc, Pc::Write | Pc::CutBack | Pc::Acknowledge);
            let respected = match (thread.turn, thread.file) {
                (Some(turn), _) => !s.lost.has(turn.owner),
                (None, Some(_)) => true,
                (None, None) => self.budget.crash == 0,
            };
            self.at_post(s, tid) && writing && respected
        })
    }

    /// Open and write, with no lock of ours.
    pub fn foreign_append(&self, s: &mut State, tid: Tid) {
        if let Some(ino) = s.fs.session_path {
            let id = self.id(s, tid);
            s.fs.write_line(ino, id, true, false);
        }
        s.go(tid, Pc::ForeignRemove);
    }

    pub fn foreign_remove(&self, s: &mut State, tid: Tid) {
        self.lose_path(s);
        s.fs.lock_path = None;
        s.next_op(self, tid);
    }
}
