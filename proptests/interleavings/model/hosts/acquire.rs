//! Acquire: publish (I19), wait, take over (I21).

use super::client::Name;
use super::server::Tid;
use super::state::{After, Event, Next, Pc, State, Then, Wrong};
use super::world::{Op, World};

impl World {
    pub fn open_lock(&self, s: &mut State, tid: Tid) {
        let pc = match self.open_lock_file(s, self.host(tid)) {
            None => Pc::Create,
            Some(file) => {
                s.thread_mut(tid).file = Some(file);
                if self.seems_dead(s, tid) { Pc::TakeOver } else { Pc::Try }
            }
        };
        s.go(tid, pc);
    }

    /// Seeded: the record names a host that does not answer.
    fn seems_dead(&self, s: &State, tid: Tid) -> bool {
        let record = s.server.lock(s.thread(tid).file.unwrap()).record;
        self.bugs.taken_unlocked && s.away.has(self.host(record / 8))
    }

    /// Written and synced, under a temporary name.
    pub fn create(&self, s: &mut State, tid: Tid) {
        let file = s.server.new_lock(Self::number(tid, s.thread(tid).op));
        s.thread_mut(tid).file = Some(file);
        s.go(tid, Pc::Link);
    }

    pub fn link(&self, s: &mut State, tid: Tid) {
        let thread = s.thread(tid);
        let (file, owner) = (thread.file.unwrap(), Self::number(tid, thread.op));
        if s.server.lock_path.is_some() {
            s.server.lock_mut(file).temporary = false;
            s.thread_mut(tid).file = None;
            return s.go(tid, self.fetching(Next::OpenLock));
        }
        s.server.lock_path = Some(file);
        let client = s.client_mut(self.host(tid));
        client.lock_name = Name::Of(file);
        client.keep_record(file, owner);
        if self.bugs.open_by_temporary {
            s.thread_mut(tid).by_temporary = true;
            return s.go(tid, Pc::TryOwn);
        }
        s.go(tid, Pc::OpenOwn);
    }

    /// Opens it by its own name, and closes it under the temporary one.
    pub fn open_own(&self, s: &mut State, tid: Tid) {
        let made = s.thread(tid).file;
        let found = self.open_lock_file(s, self.host(tid));
        if found != made {
            s.server.lock_mut(made.unwrap()).temporary = false;
            s.thread_mut(tid).file = None;
            return s.go(tid, Pc::Unlock(After::Again));
        }
        s.go(tid, Pc::TryOwn);
    }

    pub fn try_own(&self, s: &mut State, tid: Tid) {
        let file = s.thread(tid).file.unwrap();
        if s.server.lock(file).lock.is_none() {
            self.grant(s, tid);
        }
        s.go(tid, Pc::RemoveTemporary);
    }

    /// A name by which the host has the file open is changed, not removed.
    pub fn remove_temporary(&self, s: &mut State, tid: Tid) {
        let Thread { file, by_temporary, id } = Thread::of(s, tid);
        let lock = s.server.lock_mut(file);
        lock.silly = lock.temporary && by_temporary;
        lock.temporary = false;
        let pc = if id { self.fetching(Next::CompareLock(Then::Published)) } else { Pc::LetGo };
        s.go(tid, pc);
    }

    /// The lock is granted: the host's copy of the file is empty.
    fn grant(&self, s: &mut State, tid: Tid) {
        let (file, id) = (s.thread(tid).file.unwrap(), self.new_id(s, tid));
        s.server.lock_mut(file).lock = Some(id);
        s.thread_mut(tid).id = Some(id);
        if !self.bugs.record_from_copy {
            s.client_mut(self.host(tid)).drop_record(file);
        }
    }

    pub fn try_lock(&self, s: &mut State, tid: Tid) {
        let thread = s.thread(tid);
        if s.server.lock(thread.file.unwrap()).lock.is_none() {
            self.grant(s, tid);
            return s.go(tid, self.fetching(Next::CompareLock(Then::Settle)));
        }
        let posts = self.op(tid, thread.op) == Some(Op::Post);
        // A rewrite may be about to put a file where none is now (I20).
        let in_the_gap = thread.end == 0
            && !self.bugs.post_in_the_gap
            && (thread.made || !self.bugs.post_in_anothers_gap);
        let pc = match posts && !thread.posts_in_turn {
            false => Pc::Unlock(After::Wait),
            true if in_the_gap => {
                self.saw(Event::PostWaited);
                s.thread_mut(tid).file = None;
                Pc::Unlock(After::Turn)
            }
            true => {
                self.saw(Event::PostedBeside);
                Pc::Write
            }
        };
        s.go(tid, pc);
    }

    /// The lock file that the last turn of this process has left in place (I22).
    pub fn try_left(&self, s: &mut State, tid: Tid) {
        if s.server.lock(s.thread(tid).file.unwrap()).lock.is_some() {
            Self::close_lock(s, tid);
            return s.go(tid, Pc::Unlock(After::Again));
        }
        self.grant(s, tid);
        // The directory was fetched when the section began.
        s.go(tid, Pc::CompareLock(Then::Resume));
    }

    /// The wait ends: the server has granted the lock.
    pub fn granted(&self, s: &mut State, tid: Tid) {
        self.grant(s, tid);
        s.go(tid, self.enter(Then::Settle));
    }

    /// The path names another file than the one waited for (I12).
    pub fn watch(&self, s: &mut State, tid: Tid) {
        self.saw(Event::Restarted);
        s.thread_mut(tid).file = None;
        s.begin(self, tid);
    }

    /// I3, for a lock file whose lock was granted.
    pub fn settle(&self, s: &mut State, tid: Tid) {
        let file = s.thread(tid).file.unwrap();
        if self.look_up_lock(s, self.host(tid)) != Some(file) {
            self.saw(Event::Restarted);
            Self::close_lock(s, tid);
            return s.go(tid, Pc::Unlock(After::Again));
        }
        let lock = s.server.lock(file);
        s.go(tid, if lock.temporary { Pc::RemoveNames } else { Pc::TakeOver });
    }

    /// Its maker died before it could.
    pub fn remove_names(&self, s: &mut State, tid: Tid) {
        self.saw(Event::NamesRemoved);
        s.server.lock_mut(s.thread(tid).file.unwrap()).temporary = false;
        s.go(tid, Pc::TakeOver);
    }

    /// Writes the record, under the state id of the lock.
    pub fn take_over(&self, s: &mut State, tid: Tid) {
        let thread = s.thread(tid);
        let (file, owner) = (thread.file.unwrap(), Self::number(tid, thread.op));
        let is_granted = s.server.lock(file).lock == thread.id && thread.id.is_some();
        if !is_granted && !self.bugs.taken_unlocked {
            self.saw(Event::WriteRefused);
            Self::close_lock(s, tid);
            return s.go(tid, Pc::Unlock(After::Again));
        }
        s.server.lock_mut(file).record = owner;
        s.client_mut(self.host(tid)).keep_record(file, owner);
        self.saw(Event::TakenOver);
        self.hold(s, tid);
    }

    /// The turn has begun.
    pub fn hold(&self, s: &mut State, tid: Tid) {
        let owner = Self::number(tid, s.thread(tid).op);
        s.thread_mut(tid).turn = Some(owner);
        // What happened to a file that it published before, and did not get, is forgotten.
        s.lost.remove(owner);
        s.revoked.remove(owner);
        let is_locked = s.thread(tid).file.map(|file| s.server.lock(file).lock);
        if self.is_lost_already(s, tid) {
            s.lost.insert(owner);
        }
        if self.has_data_lock(s, tid) || is_locked == Some(s.thread(tid).id) {
            s.latest = Some(owner);
        }
        let is_post = self.op(tid, s.thread(tid).op) == Some(Op::Post);
        s.go(tid, if is_post { Pc::Write } else { Pc::Unlock(After::NextOp) });
    }

    /// A lease may have run out on the way, of this host or of another, which then removes what it
    /// compared before. The turn is lost when it begins, and its first fence will say so.
    fn is_lost_already(&self, s: &State, tid: Tid) -> bool {
        let thread = s.thread(tid);
        let era = s.server.eras[usize::from(self.host(tid))];
        thread.id.is_some_and(|id| id.era < era)
            || self.leases_run_out() && s.server.lock_path != thread.file
    }

    pub fn close_lock(s: &mut State, tid: Tid) {
        let thread = s.thread_mut(tid);
        thread.left = None;
        let (file, id) = (thread.file.take(), thread.id.take());
        let by_temporary = std::mem::take(&mut thread.by_temporary);
        let Some(file) = file else { return };
        let lock = s.server.lock_mut(file);
        if lock.lock == id {
            lock.lock = None;
        }
        if by_temporary {
            lock.silly = false;
        }
    }

    /// Removes whatever has the lock's name. No state id goes with a removal.
    pub fn remove_named(&self, s: &mut State, tid: Tid, meant: Option<super::server::Owner>) {
        let Some(file) = s.server.lock_path.take() else { return };
        let own = s.thread(tid).turn;
        let others: Vec<_> = s
            .turns()
            .filter(|(other, owner)| s.thread(*other).file == Some(file) && own != Some(*owner))
            .map(|(_, owner)| owner)
            .collect();
        for owner in others {
            if meant != Some(owner) {
                s.flag(self, Wrong::LiveRemoved);
            }
            s.lost.insert(owner);
        }
        s.client_mut(self.host(tid)).lock_name = Name::Nothing;
    }
}

/// What the removal of the temporary name wants to know of its thread.
struct Thread {
    file: super::server::Ino,
    by_temporary: bool,
    id: bool,
}

impl Thread {
    fn of(s: &State, tid: Tid) -> Self {
        let thread = s.thread(tid);
        Self {
            file: thread.file.unwrap(),
            by_temporary: thread.by_temporary,
            id: thread.id.is_some(),
        }
    }
}
