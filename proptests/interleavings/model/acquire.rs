//! Acquire: try, wait, judge, publish, take over. A post tries in the same way.

use super::fs::{Ino, LockFile, Ofd, Record, Tid};
use super::state::{Event, State, Wrong};
use super::thread::{After, Pc, Seen, Then, Turn};
use super::world::World;

impl World {
    pub fn door(&self, s: &mut State, tid: Tid) {
        s.door[usize::from(self.pid(tid))] = Some(tid);
        let pc = if self.bugs.publish_outside { Pc::LookOutside } else { Pc::Open(Then::Look) };
        s.go(tid, pc);
    }

    /// Seeded: look for the lock file without the data lock.
    pub fn look_outside(&self, s: &mut State, tid: Tid) {
        let pc = match s.fs.lock_path {
            None => Pc::PublishOutside,
            Some(_) => Pc::Open(Then::Look),
        };
        s.go(tid, pc);
    }

    pub fn look(&self, s: &mut State, tid: Tid) {
        let linked = s.fs.lock_path.is_some_and(|ino| s.fs.lock(ino).linked);
        if linked && self.bugs.links_refused {
            // Its caller tries again.
            s.thread_mut(tid).seen = Some(self.glimpse(s));
            return s.go(tid, Pc::Unlock(After::Poll));
        }
        s.thread_mut(tid).file = s.fs.lock_path;
        let pc = match s.fs.lock_path {
            None => Pc::Publish,
            Some(_) if linked && self.bugs.links_unlinked_blindly => Pc::RemoveDead,
            Some(_) => Pc::TryLock,
        };
        s.go(tid, pc);
    }

    pub fn try_lock(&self, s: &mut State, tid: Tid) {
        let ino = s.thread(tid).file.unwrap();
        if s.fs.lock(ino).flock.is_none() {
            self.grant(s, tid);
            return s.go(tid, Pc::Inode);
        }
        if self.at_post(s, tid) {
            // A holder of our kind: the line is written beside its turn (I10).
            self.saw(Event::PostedBeside);
            return s.go(tid, Pc::Write);
        }
        let pc = if self.bugs.wait_inside { Pc::Wait } else { Pc::Unlock(After::Wait) };
        s.go(tid, pc);
    }

    fn grant(&self, s: &mut State, tid: Tid) {
        let ino = s.thread(tid).file.unwrap();
        s.fs.lock_mut(ino).flock = Some(Ofd::Turn(self.id(s, tid)));
    }

    /// The waiting thread's `flock` returns.
    pub fn granted(&self, s: &mut State, tid: Tid) {
        self.grant(s, tid);
        let pc = if s.thread(tid).inside { Pc::Inode } else { self.enter(Then::Inode) };
        s.go(tid, pc);
    }

    /// Somebody notices that the path names another file than the one waited for (I12).
    pub fn watch(&self, s: &mut State, tid: Tid) {
        self.saw(Event::Restarted);
        self.close_wanted(s, tid);
        s.go(tid, Pc::Open(Then::Look));
    }

    /// The deadline has passed: nothing that was planned under the turn is done. A blocked thread
    /// stays.
    pub fn give_up(&self, s: &mut State, tid: Tid) {
        self.leave_door(s, tid);
        s.thread_mut(tid).seen = None;
        if s.thread(tid).pc == Pc::Wait {
            return s.go(tid, Pc::Parked);
        }
        self.close_wanted(s, tid);
        s.go(tid, Pc::Done);
    }

    pub fn granted_parked(&self, s: &mut State, tid: Tid) {
        self.grant(s, tid);
        s.go(tid, Pc::Unwanted);
    }

    /// It unlocks at once.
    pub fn unwanted(&self, s: &mut State, tid: Tid) {
        self.close_wanted(s, tid);
        s.go(tid, Pc::Done);
    }

    pub fn close_wanted(&self, s: &mut State, tid: Tid) {
        let owner = self.id(s, tid);
        s.fs.unlock(|ofd| ofd == Ofd::Turn(owner));
        s.thread_mut(tid).file = None;
        s.lost.remove(owner);
    }

    /// I3, for the lock file.
    pub fn inode(&self, s: &mut State, tid: Tid) {
        if self.bugs.no_inode_check || s.thread(tid).file == s.fs.lock_path {
            return s.go(tid, Pc::Judge);
        }
        self.saw(Event::Restarted);
        self.close_wanted(s, tid);
        s.go(tid, Pc::Look);
    }

    /// What the record says of an owner who holds no kernel lock.
    pub fn judge(&self, s: &mut State, tid: Tid) {
        let LockFile { record, linked, .. } = *s.fs.lock(s.thread(tid).file.unwrap());
        if !self.reclaimable(s, record) {
            let file = s.thread(tid).file;
            s.thread_mut(tid).seen = Some(self.seen(s, file));
            return s.go(tid, Pc::PutBack);
        }
        let dead_posters_record = self.bugs.post_keeps_record && self.at_post(s, tid);
        let pc = if dead_posters_record {
            Pc::Write
        } else if self.bugs.remove_and_create {
            Pc::RemoveDead
        } else if linked {
            Pc::Exchange
        } else {
            Pc::Spoil
        };
        s.go(tid, pc);
    }

    /// The owner is dead, or has released. The 30 s of an empty record are over once its maker is
    /// dead, or very slow.
    fn reclaimable(&self, s: &State, record: Record) -> bool {
        match record {
            Record::Owner(_) | Record::Spoiled => true,
            Record::Empty(tid) => self.slow_foreign || !s.alive.has(self.pid(tid)),
            Record::Foreign(tid) => !s.alive.has(self.pid(tid)),
        }
    }

    /// What a poller can see of a foreign holder.
    pub fn glimpse(&self, s: &State) -> Seen {
        self.seen(s, s.fs.lock_path)
    }

    fn seen(&self, s: &State, file: Option<Ino>) -> Seen {
        let file = file.map(|ino| (ino, s.fs.lock(ino)));
        let alive = match file.map(|(_, it)| (it.record, it.flock)) {
            Some((Record::Foreign(tid) | Record::Empty(tid), _)) => s.alive.has(self.pid(tid)),
            Some((Record::Owner(owner), _)) => s.alive.has(self.pid_of_owner(owner)),
            Some((Record::Spoiled, flock)) => flock.is_some(),
            None => false,
        };
        (file.map(|(ino, _)| ino), file.map(|(_, it)| it.record), alive)
    }

    pub fn put_back(&self, s: &mut State, tid: Tid) {
        self.close_wanted(s, tid);
        s.go(tid, Pc::Unlock(After::Poll));
    }

    pub fn look_again(&self, s: &mut State, tid: Tid) {
        s.thread_mut(tid).seen = None;
        s.go(tid, Pc::Open(Then::Look));
    }

    pub fn spoil(&self, s: &mut State, tid: Tid) {
        let ino = s.thread(tid).file.unwrap();
        self.changes(s, tid);
        s.fs.lock_mut(ino).record = Record::Spoiled;
        s.go(tid, Pc::Restore);
    }

    pub fn restore(&self, s: &mut State, tid: Tid) {
        let (ino, owner) = (s.thread(tid).file.unwrap(), self.id(s, tid));
        self.changes(s, tid);
        s.fs.lock_mut(ino).record = Record::Owner(owner);
        self.saw(Event::TakenOver);
        self.establish(s, tid);
    }

    /// `renameat2` with `RENAME_EXCHANGE`, of a file that is locked and complete (I6).
    pub fn exchange(&self, s: &mut State, tid: Tid) {
        let Some(there) = s.fs.lock_path else {
            self.close_wanted(s, tid);
            return s.go(tid, Pc::Look);
        };
        self.changes(s, tid);
        if s.rightful().iter().any(|turn| turn.ino == there) {
            s.flag(self, Wrong::LiveUnlinked);
        }
        let owner = self.id(s, tid);
        let new = s.fs.new_lock(Some(Ofd::Turn(owner)), Record::Owner(owner));
        s.fs.lock_path = Some(new);
        s.thread_mut(tid).exchanged = Some((new, there));
        s.go(tid, Pc::Exchanged);
    }

    pub fn exchanged(&self, s: &mut State, tid: Tid) {
        let (new, there) = s.thread(tid).exchanged.unwrap();
        let judged = s.thread(tid).file.unwrap();
        if there != judged && !self.bugs.exchange_blindly {
            return s.go(tid, Pc::ExchangedLook);
        }
        s.thread_mut(tid).exchanged = None;
        s.thread_mut(tid).file = Some(new);
        // Its descriptor is closed. The new file was locked through another.
        s.fs.lock_mut(judged).flock = None;
        self.saw(Event::Exchanged);
        self.establish(s, tid);
    }

    pub fn exchanged_look(&self, s: &mut State, tid: Tid) {
        let (new, _) = s.thread(tid).exchanged.unwrap();
        if s.fs.lock_path == Some(new) {
            return s.go(tid, Pc::ExchangeBack);
        }
        self.end_exchange(s, tid);
    }

    pub fn exchange_back(&self, s: &mut State, tid: Tid) {
        let (_, there) = s.thread(tid).exchanged.unwrap();
        // It fails if nothing is there any more.
        if s.fs.lock_path.is_some() {
            self.saw(Event::ExchangedBack);
            s.fs.lock_path = Some(there);
        }
        self.end_exchange(s, tid);
    }

    fn end_exchange(&self, s: &mut State, tid: Tid) {
        s.thread_mut(tid).exchanged = None;
        self.close_wanted(s, tid);
        s.go(tid, Pc::Look);
    }

    /// Seeded: reclaim as other programs do. Or unlink a living lock, since it has a second name.
    pub fn remove_dead(&self, s: &mut State, tid: Tid) {
        let judged = s.fs.lock(s.thread(tid).file.unwrap()).record;
        self.unlink_lock(s, tid, Some(judged).filter(|_| !self.bugs.links_unlinked_blindly));
        self.close_wanted(s, tid);
        s.go(tid, Pc::Publish);
    }

    /// Seeded: the name exists, and is locked and filled afterwards.
    fn create_empty(&self, s: &mut State, tid: Tid) {
        let ino = s.fs.new_lock(None, Record::Empty(tid));
        s.fs.lock_path = Some(ino);
        s.thread_mut(tid).file = Some(ino);
        s.go(tid, Pc::LockMade);
    }

    pub fn lock_made(&self, s: &mut State, tid: Tid) {
        self.grant(s, tid);
        s.go(tid, Pc::WriteMade);
    }

    pub fn write_made(&self, s: &mut State, tid: Tid) {
        let ino = s.thread(tid).file.unwrap();
        s.fs.lock_mut(ino).record = Record::Owner(self.id(s, tid));
        self.establish(s, tid);
    }

    /// `linkat` of a file that is locked and complete (I5).
    pub fn publish(&self, s: &mut State, tid: Tid) {
        if s.fs.lock_path.is_some() {
            return s.go(tid, Pc::Look);
        }
        if self.bugs.create_then_fill {
            return self.create_empty(s, tid);
        }
        let owner = self.id(s, tid);
        self.changes(s, tid);
        let ino = s.fs.new_lock(Some(Ofd::Turn(owner)), Record::Owner(owner));
        s.fs.lock_path = Some(ino);
        s.thread_mut(tid).file = Some(ino);
        self.saw(Event::Published);
        self.establish(s, tid);
    }

    pub fn publish_outside(&self, s: &mut State, tid: Tid) {
        if s.fs.lock_path.is_some() {
            return s.go(tid, Pc::LookOutside);
        }
        self.publish(s, tid);
        s.next_op(self, tid);
    }

    fn establish(&self, s: &mut State, tid: Tid) {
        let owner = self.id(s, tid);
        let ino = s.thread_mut(tid).file.take().unwrap();
        let ofd = owner;
        let number = self.number_record(s, tid);
        s.thread_mut(tid).turn = Some(Turn { owner, ino, ofd, number });
        if !self.at_post(s, tid) {
            s.thread_mut(tid).known = self.known_of(s, s.thread(tid).data);
        }
        s.latest = Some(owner);
        let pc = if self.at_post(s, tid) { Pc::Write } else { Pc::Unlock(After::NextOp) };
        s.go(tid, pc);
    }

    /// I2, watched at every step that changes who holds.
    pub fn changes(&self, s: &mut State, tid: Tid) {
        let named = s.fs.session_path.map(|ino| s.fs.session(ino).flock);
        let mine = [Some(Some(Ofd::Data(tid))), Some(Some(Ofd::New(tid)))];
        if !mine.contains(&named) {
            s.flag(self, Wrong::ChangedOutside);
        }
    }
}
