//! Faults: what happens to the world from outside.

use super::fs::{Ofd, Pid, Record, Tid};
use super::state::State;
use super::step::Choice;
use super::thread::{Pc, Thread};
use super::world::World;

/// None of the processes.
const NOBODY: Pid = 63;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Crash(Pid),
    /// It dies in the middle of this thread's write.
    CrashTorn(Tid),
    Stop(Pid),
    Rm,
    Replace,
    Reset,
    Read,
    /// Only so many lines stay.
    Shrink(u8),
    Link,
    LoseNotice(Tid),
    /// User code panics on a thread, and ends its task.
    Panic(Tid),
    /// It panics on a waiting thread, whose task lives.
    ThreadDies(Tid),
    Fork(Tid),
    /// The forked child closes its copy.
    ChildCloses,
}

impl World {
    pub fn faults(&self, s: &State) -> Vec<Fault> {
        let mut faults = Vec::new();
        let pids = (0..).take(self.processes());
        let living = pids.filter(|&pid| s.alive.has(pid) && !s.stopped.has(pid));
        for pid in living.filter(|&pid| self.busy(s, pid)) {
            if s.budget.crash > 0 {
                faults.push(Fault::Crash(pid));
            }
            if s.budget.stop > 0 {
                faults.push(Fault::Stop(pid));
            }
        }
        for tid in (0..).take(s.threads.len()) {
            let thread = s.thread(tid);
            if s.budget.crash > 0 && thread.pc == Pc::Write && !s.stopped.has(self.pid(tid)) {
                faults.push(Fault::CrashTorn(tid));
            }
            if s.budget.lost_notice > 0 && self.is_to_be_told(s, tid) {
                faults.push(Fault::LoseNotice(tid));
            }
            if s.budget.panic > 0 && self.may_panic(s, tid) {
                faults.push(Fault::Panic(tid));
            }
            if s.budget.panic > 0 && self.may_die_for_its_task(s, tid) {
                faults.push(Fault::ThreadDies(tid));
            }
            if s.budget.fork > 0 && thread.turn.is_some() && !self.at_closure(tid) {
                faults.push(Fault::Fork(tid));
            }
        }
        faults.extend(self.may_rm(s).then_some(Fault::Rm));
        let linked = s.fs.lock_path.map(|ino| s.fs.lock(ino).linked);
        faults.extend((s.budget.link > 0 && linked == Some(false)).then_some(Fault::Link));
        if let Some(ino) = s.fs.session_path {
            let lines = u8::try_from(s.fs.session(ino).lines.len()).unwrap();
            faults.extend((0..lines).filter(|_| s.budget.shrink > 0).map(Fault::Shrink));
            faults.extend((s.budget.replace > 0).then_some(Fault::Replace));
            faults.extend((s.budget.reset > 0).then_some(Fault::Reset));
            faults.extend(self.may_be_read(s).then_some(Fault::Read));
        }
        faults.extend(s.child.is_some().then_some(Fault::ChildCloses));
        faults
    }

    fn may_rm(&self, s: &State) -> bool {
        let spared = self.rm_spares_foreign
            && matches!(s.fs.named_record(), Some(Record::Foreign(_) | Record::Empty(_)));
        s.budget.rm > 0 && s.fs.lock_path.is_some() && !spared
    }

    fn may_be_read(&self, s: &State) -> bool {
        let is_free = |ino| s.fs.session(ino).flock.is_none();
        s.budget.reader > 0 && s.fs.session_path.is_some_and(is_free)
    }

    /// A process that has nothing left to do is not worth killing.
    fn busy(&self, s: &State, pid: Pid) -> bool {
        (0..).zip(&s.threads).any(|(tid, thread)| {
            self.pid(tid) == pid && !matches!(thread.pc, Pc::Idle | Pc::Done | Pc::Dead)
        })
    }

    pub fn befall(&self, s: &mut State, fault: Fault) {
        match fault {
            Fault::Crash(pid) => self.crash(s, pid),
            Fault::CrashTorn(tid) => {
                self.put_line(s, tid, false);
                self.crash(s, self.pid(tid));
            }
            Fault::Stop(pid) => {
                s.budget.stop -= 1;
                s.stopped.insert(pid);
            }
            Fault::Rm => {
                s.budget.rm -= 1;
                self.lose_path(s);
                s.fs.lock_path = None;
            }
            Fault::Replace => self.replace(s),
            Fault::Reset => {
                s.budget.reset -= 1;
                s.fs.session_path = None;
                // The acknowledged lines are in the file that was moved away on purpose.
                s.acked.clear();
            }
            Fault::Shrink(keep) => Self::shrink(s, keep),
            Fault::Link => {
                s.budget.link -= 1;
                let ino = s.fs.lock_path.unwrap();
                s.fs.lock_mut(ino).linked = true;
            }
            Fault::Read => {
                s.budget.reader -= 1;
                let ino = s.fs.session_path.unwrap();
                s.fs.session_mut(ino).flock = Some(Ofd::Reader);
            }
            Fault::LoseNotice(tid) => {
                s.budget.lost_notice -= 1;
                s.thread_mut(tid).deaf = true;
            }
            Fault::Panic(tid) => self.panic(s, tid),
            Fault::ThreadDies(tid) => self.thread_dies(s, tid),
            Fault::Fork(tid) => {
                s.budget.fork -= 1;
                s.child = s.thread(tid).turn.map(|turn| Ofd::Turn(turn.ofd));
            }
            Fault::ChildCloses => self.child_closes(s),
        }
    }

    /// All descriptors are closed at once. A child that has a copy keeps the lock.
    fn crash(&self, s: &mut State, pid: Pid) {
        s.budget.crash -= 1;
        let child = s.child;
        s.fs.unlock(|ofd| self.pid_of_ofd(ofd) == pid && child != Some(ofd));
        for tid in (0..).take(s.threads.len()) {
            if self.pid(tid) == pid {
                *s.thread_mut(tid) = Thread::new(Pc::Dead);
            }
        }
        s.door[usize::from(pid)] = None;
        s.alive.remove(pid);
    }

    pub fn pid_of_ofd(&self, ofd: Ofd) -> Pid {
        match ofd {
            Ofd::Turn(owner) => self.pid_of_owner(owner),
            Ofd::Data(tid) | Ofd::New(tid) | Ofd::Keeper(tid) => self.pid(tid),
            Ofd::Reader => NOBODY,
        }
    }

    /// A foreign compaction: a copy, renamed over the session file.
    fn replace(&self, s: &mut State) {
        s.budget.replace -= 1;
        let old = s.fs.session_path.unwrap();
        let lines = s.fs.session(old).lines.clone();
        s.fs.session_path = Some(s.fs.new_session(lines));
    }

    /// A foreign program cuts the file in place. What it cuts off is lost by its doing.
    fn shrink(s: &mut State, keep: u8) {
        s.budget.shrink -= 1;
        let ino = s.fs.session_path.unwrap();
        for line in s.fs.session_mut(ino).lines.split_off(usize::from(keep)) {
            s.lose_line(line.id);
        }
    }

    /// Does this thread wait for a file that its path does not name any more?
    fn is_to_be_told(&self, s: &State, tid: Tid) -> bool {
        !s.thread(tid).deaf && self.choices(s, tid).contains(&Choice::Watch)
    }

    fn child_closes(&self, s: &mut State) {
        let copy = s.child.take().unwrap();
        let parent_has_it = (0..).zip(&s.threads).any(|(tid, thread)| {
            let holds = thread.turn.is_some_and(|turn| Ofd::Turn(turn.ofd) == copy);
            holds && !self.at_closure(tid)
        });
        // Seeded: the child runs the release that only the acquirer may run.
        if self.bugs.child_unlocks || !parent_has_it {
            s.fs.unlock(|ofd| ofd == copy);
        }
    }
}
