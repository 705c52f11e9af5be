//! One state of the world: the file system, the threads' registers, and what the properties remember.

use std::sync::atomic::Ordering;

use crate::fs::{Fs, Ino, Ofd, Owner, Pid, Record, Tid};
use crate::world::{Budget, Op, Role, World};

/// Where in the code, once the data lock is held and the session file compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// Try: look for the lock file.
    Look,
    /// A waiter was granted the turn lock: compare inodes.
    Inode,
    HandCheck,
    UnlinkCheck,
    Fence,
    /// The fence was passed before the data lock was asked for (a seeded bug).
    Write,
    RevokeCheck,
    /// Keeper or sweep: try the lock.
    KeepTry,
    RewriteFence,
}

/// What to do once the data lock is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    NextOp,
    Wait,
    Poll,
    /// The keeper looks again later.
    KeepRest,
    /// Unlock the turn lock, and the release is over.
    LetGo,
    /// The fence refused: the turn is lost, only its release is left to do.
    Lost,
}

/// The next system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pc {
    /// Nothing to do (yet).
    Idle,
    Done,
    Dead,
    // The data lock.
    Open(Then),
    Lock(Then),
    Compare(Then),
    Unlock(After),
    // Acquire, and the post's try.
    Door,
    LookOutside,
    PublishOutside,
    Look,
    TryLock,
    Inode,
    Judge,
    Spoil,
    Restore,
    RemoveDead,
    Publish,
    LockMade,
    WriteMade,
    PutBack,
    Wait,
    /// The task gave up; its waiting thread still blocks.
    Parked,
    /// The lock came when nobody wanted it any more.
    Unwanted,
    Poll,
    // Release.
    Choose,
    HandCheck,
    HandSpoil,
    HandRestore,
    UnlinkCheck,
    Unlink,
    RemoveSession,
    LetGo,
    // Append, post and rewrite.
    FencePath,
    FenceRecord,
    Write,
    CutBack,
    CompareAgain,
    FenceAgain,
    PostedBorrowed,
    Snapshot,
    Carry,
    LockNew,
    Rename,
    UnlockNew,
    // Revoke, keeper, sweep.
    Name,
    RevokeCheck,
    RevokeUnlink,
    SweepOpen,
    KeepRest,
    KeepTry,
    KeepCheck,
    KeepUnlink,
    KeepLetGo,
    // A foreign program.
    ForeignCreate,
    ForeignRead,
    ForeignReclaim,
    ForeignPoll,
    ForeignWrite,
    ForeignAppend,
    ForeignLoad,
    ForeignStore,
    ForeignRemove,
}

/// A hold, as the thread that was granted it believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    pub owner: Owner,
    pub ino: Ino,
    /// The acquire whose descriptor this is: a hand-over passes it on.
    pub ofd: Owner,
}

/// What a poller last saw: it looks again when that has changed.
pub type Seen = (Option<Ino>, Option<Record>, bool);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    pub op: u8,
    pub pc: Pc,
    pub turn: Option<Turn>,
    /// The lock file that is open: wanted, named, or a foreign program's own.
    pub file: Option<Ino>,
    /// The owner that a revoke, a keeper or a sweep means.
    pub named: Option<Record>,
    pub data: Option<Ino>,
    pub fresh: Option<Ino>,
    pub seen: Option<Seen>,
    /// To whom the turn is being handed.
    pub heir: Option<Tid>,
    /// How many lines the rewrite has carried over.
    pub carried: u8,
    /// Did this turn make the session file, and not write to it?
    pub made: bool,
    /// Is it inside a section (data lock held and compared, as it believes)?
    pub inside: bool,
    /// Had the turn been lost or closed when the section began?
    pub late: bool,
}

impl Thread {
    pub fn new(pc: Pc) -> Self {
        Thread {
            op: 0,
            pc,
            turn: None,
            file: None,
            named: None,
            data: None,
            fresh: None,
            seen: None,
            heir: None,
            carried: 0,
            made: false,
            inside: false,
            late: false,
        }
    }
}

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
    /// I4: a write by one who had lost the turn, or had closed it.
    LostWrote,
    /// I10: a foreign program took the session while a post was in flight.
    PostOvertaken,
    /// I4, I15: a revoke went through while the holder was inside an append.
    RevokedInside,
    /// I14: an unlink removed a lock that lives, and that it did not mean.
    LiveUnlinked,
}

/// Something that a world should show at least once, lest its properties hold for nothing.
///
/// Kept beside the states, so that it adds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Published,
    TakenOver,
    HandedOver,
    Refused,
    Revoked,
    Restarted,
    PostedBeside,
    LateUnlink,
    Rewritten,
    ForeignHeld,
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
    /// Lines whose append was acknowledged.
    pub acked: Set,
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
            threads: world
                .threads
                .iter()
                .map(|_| Thread::new(Pc::Idle))
                .collect(),
            alive,
            stopped: Set::default(),
            door: vec![None; world.processes()],
            child: None,
            budget: world.budget,
            closed: Set::default(),
            lost: Set::default(),
            revoked: Set::default(),
            latest: None,
            acked: Set::default(),
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

    /// Remembers what went wrong, if that is promised in this world. A check goes no further from such a state.
    pub fn flag(&mut self, world: &World, wrong: Wrong) {
        if world.promises(wrong) {
            self.wrong.insert(wrong as u8);
        }
    }

    pub fn go(&mut self, tid: Tid, pc: Pc) {
        self.thread_mut(tid).pc = pc;
    }

    /// Starts the operation that `thread.op` points to.
    pub fn begin(&mut self, world: &World, tid: Tid) {
        let op = world.op(tid, self.thread(tid).op);
        let pc = match op {
            Some(Op::Acquire) => Pc::Door,
            Some(Op::Append) if world.bugs.fence_early => Pc::FencePath,
            Some(Op::Append) => Pc::Open(Then::Fence),
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
        let turn = self.thread(tid).turn;
        let pid = world.pid(tid);
        let closure = (0..)
            .zip(&world.threads)
            .find_map(|(at, spec)| (spec.role == Role::Closure && spec.pid == pid).then_some(at));
        let closure = self.thread_mut(closure.unwrap());
        closure.turn = turn;
        closure.pc = Pc::Open(Then::Fence);
        self.next_op(world, tid);
    }

    /// Drops inodes that nobody can reach.
    pub fn collect(&mut self) {
        let State { fs, threads, .. } = self;
        fs.forget_locks(|ino| {
            threads.iter().any(|thread| {
                thread.file == Some(ino) || thread.turn.is_some_and(|turn| turn.ino == ino)
            })
        });
        fs.forget_sessions(|ino| {
            threads
                .iter()
                .any(|thread| thread.data == Some(ino) || thread.fresh == Some(ino))
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

/// How many operations a thread may have: an owner and a line are numbered by thread and operation.
pub const OPS: u8 = 8;

impl World {
    pub fn op(&self, tid: Tid, op: u8) -> Option<Op> {
        self.threads[usize::from(tid)]
            .script
            .get(usize::from(op))
            .copied()
    }

    pub fn pid(&self, tid: Tid) -> Pid {
        self.threads[usize::from(tid)].pid
    }

    /// The owner, and the line, of the operation that the thread is at.
    pub fn id(&self, state: &State, tid: Tid) -> u8 {
        tid * OPS + state.thread(tid).op
    }

    pub fn pid_of_owner(&self, owner: Owner) -> Pid {
        self.pid(owner / OPS)
    }

    /// Is this promised here at all? The reasons why not are told in `docs/model.md`.
    pub fn promises(&self, wrong: Wrong) -> bool {
        if self.beyond_limits {
            return wrong != Wrong::ChangedOutside;
        }
        let Budget {
            rm, replace, reset, ..
        } = self.budget;
        // A foreign program that renames the session file moves the data lock itself.
        let data_lock_stays = replace + reset == 0;
        // That, and a lock file that goes away while its holder lives: two sections at once, one ends the other's turn.
        let sections_guard = data_lock_stays || (rm == 0 && !self.has(Op::Revoke));
        match wrong {
            Wrong::LostWrote | Wrong::RevokedInside | Wrong::LiveUnlinked => sections_guard,
            Wrong::ChangedOutside => data_lock_stays && self.watch_sections,
            // Whoever removes the lock file lets the foreign program in.
            Wrong::PostOvertaken => rm == 0,
        }
    }

    fn has(&self, op: Op) -> bool {
        self.threads.iter().any(|spec| spec.script.contains(&op))
    }

    pub fn is_foreign(&self, tid: Tid) -> bool {
        matches!(self.op(tid, 0), Some(Op::Foreign | Op::ForeignRewrite))
    }

    pub fn saw(&self, event: Event) {
        self.events.fetch_or(1 << event as u32, Ordering::Relaxed);
    }

    /// Did any step of any check of this world show it?
    pub fn showed(&self, event: Event) -> bool {
        self.events.load(Ordering::Relaxed) & (1 << event as u32) != 0
    }

    pub fn at_post(&self, state: &State, tid: Tid) -> bool {
        self.op(tid, state.thread(tid).op) == Some(Op::Post)
    }
}
