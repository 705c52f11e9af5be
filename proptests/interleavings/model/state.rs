//! A state of the world: the file system, the threads' registers, and what the properties remember.

use super::fs::{Fs, Ofd, Owner, Tid};
use super::thread::{Pc, Then, Thread, Turn};
use super::world::{Budget, Op, Role, World};

/// A set of small numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Set(u64);

impl Set {
    pub fn insert(&mut self, it: u8) {
        self.0 |= 1 << it;
    }

    pub fn has(self, it: u8) -> bool {
        self.0 & (1 << it) != 0
    }

    pub fn clear(&mut self) {
        self.0 = 0;
    }

    pub fn remove(&mut self, it: u8) {
        self.0 &= !(1 << it);
    }
}

/// Something that must not have happened, noticed at the step that did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// I2: who holds changed without the data lock.
    ChangedOutside,
    /// I4: a write by a process that had lost the turn, or had closed it.
    LostWrote,
    /// I10: a foreign program took the session while a post was in flight.
    PostOvertaken,
    /// I4, I15: a revoke went through while the holder was inside an append.
    RevokedInside,
    /// I14: an unlink removed a living lock that it did not mean.
    LiveUnlinked,
    /// I14: a session file was removed that a foreign program had opened to write to.
    RemovedInUse,
    /// I4: a holder wrote to a session file that was not as it knew it, and was not told.
    WroteUntold,
    /// I11: a line was written behind another one than it was made from.
    MadeFromOther,
}

/// Something that a world must show at least once; otherwise its properties would hold trivially.
///
/// Kept beside the states, so that it adds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Published,
    TakenOver,
    /// A lock file with a second name was taken over by a new one.
    Exchanged,
    /// What was exchanged was another's by then, and was put back.
    ExchangedBack,
    HandedOver,
    WentOn,
    Refused,
    Revoked,
    /// A revoke waits for a process that is stopped inside an append.
    RevokeKeptOut,
    Restarted,
    PostedBeside,
    LateUnlink,
    Rewritten,
    /// A line was made from what another process had written in this turn.
    MadeBehindPost,
    Removed,
    ForeignHeld,
    /// A waiter let go of the turn lock, since the data lock stayed busy.
    LetGo,
    Told,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub fs: Fs,
    pub threads: Vec<Thread>,
    pub alive: Set,
    pub stopped: Set,
    /// Door 1: which thread of each process holds or contends.
    pub door: Vec<Option<Tid>>,
    /// A forked child's copy of a descriptor.
    pub child: Option<Ofd>,
    pub budget: Budget,
    pub closed: Set,
    /// Turns that somebody took away: revoked, removed, overwritten by a foreign program.
    pub lost: Set,
    pub revoked: Set,
    /// The last hold of our protocol that was established.
    pub latest: Option<Owner>,
    /// How many records were written by processes with keepers.
    pub records: u8,
    /// Lines whose append was acknowledged.
    pub acked: Set,
    /// Lines that a foreign program has cut off or displaced. Nothing is promised of them.
    pub cut: Set,
    /// What has gone wrong, by `Wrong as u8`.
    pub wrong: Set,
}

impl State {
    pub fn new(world: &World) -> Self {
        let mut fs = Fs::default();
        if world.session {
            fs.session_path = Some(fs.new_session(Vec::new()));
        }
        let mut alive = Set::default();
        (0..world.processes()).for_each(|pid| alive.insert(u8::try_from(pid).unwrap()));
        let mut state = State {
            fs,
            threads: world.threads.iter().map(|_| Thread::new(Pc::Idle)).collect(),
            alive,
            stopped: Set::default(),
            door: vec![None; world.processes()],
            child: None,
            budget: world.budget,
            closed: Set::default(),
            lost: Set::default(),
            revoked: Set::default(),
            latest: None,
            records: 0,
            acked: Set::default(),
            cut: Set::default(),
            wrong: Set::default(),
        };
        for tid in 0..world.threads.len() {
            let tid = Tid::try_from(tid).unwrap();
            if world.threads[usize::from(tid)].role == Role::Task {
                state.begin(world, tid);
            }
        }
        state
    }

    pub fn thread(&self, tid: Tid) -> &Thread {
        &self.threads[usize::from(tid)]
    }

    pub fn thread_mut(&mut self, tid: Tid) -> &mut Thread {
        &mut self.threads[usize::from(tid)]
    }

    /// Remembers what went wrong, if this world promises that it does not. A check does not go on
    /// from such a state.
    pub fn flag(&mut self, world: &World, wrong: Wrong) {
        if world.promises(wrong) {
            self.wrong.insert(wrong as u8);
        }
    }

    pub fn go(&mut self, tid: Tid, pc: Pc) {
        let thread = self.thread_mut(tid);
        (thread.pc, thread.deaf) = (pc, false);
    }

    /// A foreign program has lost this line. Whoever wrote it may not have acknowledged it yet.
    pub fn lose_line(&mut self, id: u8) {
        self.acked.remove(id);
        self.cut.insert(id);
    }

    /// Starts the operation that `thread.op` points to.
    pub fn begin(&mut self, world: &World, tid: Tid) {
        let op = world.op(tid, self.thread(tid).op);
        let pc = match op {
            Some(Op::Acquire) => Pc::Door,
            Some(Op::Append) if world.bugs.fence_early => Pc::FencePath,
            Some(Op::Made) if world.bugs.made_outside => Pc::Make,
            Some(Op::Append | Op::Made | Op::Remove) => Pc::Open(Then::Fence),
            Some(Op::Abandon) => return self.abandon(world, tid),
            Some(Op::Rewrite) => Pc::Snapshot,
            Some(Op::Release) => Pc::Choose,
            Some(Op::Post) => Pc::Open(Then::Look),
            Some(Op::Revoke) => Pc::Name,
            Some(Op::Sweep) => Pc::SweepOpen,
            Some(Op::Foreign | Op::ForeignRewrite) => Pc::ForeignCreate,
            None if world.threads[usize::from(tid)].role == Role::Task => Pc::Done,
            None => Pc::Idle,
        };
        self.go(tid, pc);
    }

    pub fn next_op(&mut self, world: &World, tid: Tid) {
        self.thread_mut(tid).op += 1;
        self.begin(world, tid);
    }

    /// The turn is lost: whatever was to be done under it is skipped.
    pub fn skip_to_release(&mut self, world: &World, tid: Tid) {
        loop {
            self.thread_mut(tid).op += 1;
            if matches!(world.op(tid, self.thread(tid).op), Some(Op::Release) | None) {
                return self.begin(world, tid);
            }
        }
    }

    /// The closure gets the turn as it is now; the task goes on without waiting for it.
    fn abandon(&mut self, world: &World, tid: Tid) {
        let Thread { turn, known, .. } = *self.thread(tid);
        let pid = world.pid(tid);
        let closure = (0..)
            .zip(&world.threads)
            .find_map(|(at, spec)| (spec.role == Role::Closure && spec.pid == pid).then_some(at));
        let closure = self.thread_mut(closure.unwrap());
        (closure.turn, closure.known) = (turn, known);
        closure.pc = Pc::Open(Then::Fence);
        self.next_op(world, tid);
    }

    /// Drops inodes that nobody can reach: their numbers can be used again.
    pub fn collect(&mut self, world: &World) {
        for thread in &mut self.threads {
            thread.known = thread.known.filter(|_| thread.turn.is_some());
        }
        let State { fs, threads, .. } = self;
        fs.forget_locks(|ino| {
            threads.iter().any(|thread| {
                let turns = thread.turn.into_iter().chain(thread.next.map(|(turn, _)| turn));
                let file = thread.file.filter(|_| !world.remembers_only(thread));
                let exchanged =
                    thread.exchanged.is_some_and(|(new, old)| [new, old].contains(&ino));
                file == Some(ino) || exchanged || turns.into_iter().any(|turn| turn.ino == ino)
            })
        });
        fs.forget_sessions(|ino| {
            threads.iter().any(|thread| {
                let known = thread.known.filter(|_| !world.bugs.known_unpinned);
                let open = [thread.data, thread.fresh, known.map(|known| known.ino)];
                open.contains(&Some(ino))
            })
        });
    }

    /// Every hold that some living process believes it has and has not closed.
    pub fn believed(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        for turn in self.threads.iter().filter_map(|thread| thread.turn) {
            if !self.closed.has(turn.owner) && !turns.contains(&turn) {
                turns.push(turn);
            }
        }
        turns
    }

    /// Of those, the ones that nobody took away.
    pub fn rightful(&self) -> Vec<Turn> {
        let mut turns = self.believed();
        turns.retain(|turn| !self.lost.has(turn.owner));
        turns
    }
}
