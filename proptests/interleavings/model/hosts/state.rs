//! A state of the hosts and the server.

use super::super::state::Set;
use super::client::{Client, Name};
use super::server::{Host, Ino, Owner, Server, StateId, Tid};
use super::world::{Budget, Op, World};

/// What a section is for, or a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// Look for the lock file, to take it.
    Look,
    /// Judge a lock file whose lock was waited for.
    Settle,
    /// Take a turn where the last one of this process ended.
    Resume,
    /// Look whether the file just published is the one that the path names.
    Published,
    Append,
    Rewrite,
    Release,
    Revoke,
}

/// What comes once the directory's attributes are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    OpenSession(Then),
    CompareSession(Then),
    OpenLock,
    TryLeft,
    CompareLock(Then),
    Confirm,
    RevokeLook,
}

/// What comes once the data lock is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    NextOp,
    Wait,
    /// The turn is lost.
    Lost,
    /// Begin the operation anew.
    Again,
    /// A post takes a turn.
    Turn,
}

/// The next request, or step, of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pc {
    Done,
    Dead,
    Fetch(Next),
    OpenSession(Then),
    LockData(Then),
    CompareSession(Then),
    OpenLock,
    Create,
    Link,
    OpenOwn,
    TryOwn,
    RemoveTemporary,
    Try,
    TryLeft,
    Wait,
    CompareLock(Then),
    RemoveNames,
    TakeOver,
    Flock(Then),
    Record(Then),
    Write,
    Send,
    LockToCut,
    Cut,
    Confirm,
    Carry,
    RenameAside,
    Rename,
    RemoveLock,
    LetGo,
    Leave,
    NameOwner,
    RevokeLook,
    RevokeRemove,
    Unlock(After),
}

/// A thread's registers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    pub pc: Pc,
    pub op: u8,
    /// The lock file that it has open, and its lock on it.
    pub file: Option<Ino>,
    pub id: Option<StateId>,
    pub by_temporary: bool,
    pub turn: Option<Owner>,
    /// Its last turn, whose lock file it has left in place, and has open.
    pub left: Option<Owner>,
    /// The session file that it has open, its lock on it, and where that file ended then.
    pub data: Option<Ino>,
    pub data_id: Option<StateId>,
    pub end: u8,
    /// Did it make the session file that it has open?
    pub made: bool,
    /// The new file of a rewrite.
    pub fresh: Option<Ino>,
    /// Whom a revoke names.
    pub named: Option<Owner>,
    /// Did a post turn into a turn?
    pub posts_in_turn: bool,
}

/// Something that must not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// I4, I18: the server took a line of one who had lost the turn to another.
    LostWrote,
    /// I14: a removal removed somebody else's living lock.
    LiveRemoved,
}

/// Something that a world must show at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Published,
    TakenOver,
    Restarted,
    Refused,
    /// The server refused what was written under a lock that it had given up.
    WriteRefused,
    /// A holder learns at the fence that its lease has run out.
    Expired,
    Reclaimed,
    PostedBeside,
    PostWaited,
    Rewritten,
    Revoked,
    CutBack,
    NotCutBack,
    NamesRemoved,
    Resumed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub server: Server,
    pub clients: Vec<Client>,
    pub threads: Vec<Thread>,
    /// Hosts that are cut off.
    pub away: Set,
    /// Hosts without power.
    pub off: Set,
    /// Hosts whose lease has run out since they were cut off.
    pub expired: Set,
    pub budget: Budget,
    /// The last hold that was established.
    pub latest: Option<Owner>,
    /// Turns that were taken away, by anybody or anything.
    pub lost: Set,
    pub revoked: Set,
    pub acked: Set,
    pub wrong: Set,
}

impl State {
    pub fn new(world: &World) -> Self {
        let mut server = Server { eras: vec![0; usize::from(world.hosts())], ..Server::default() };
        server.session_path = Some(server.new_session(Vec::new()));
        let mut state = Self {
            server,
            clients: vec![Client::default(); usize::from(world.hosts())],
            threads: Vec::new(),
            away: Set::default(),
            off: Set::default(),
            expired: Set::default(),
            budget: world.budget,
            latest: None,
            lost: Set::default(),
            revoked: Set::default(),
            acked: Set::default(),
            wrong: Set::default(),
        };
        for tid in (0..).take(world.threads.len()) {
            state.threads.push(Thread {
                pc: Pc::Done,
                op: 0,
                file: None,
                id: None,
                by_temporary: false,
                turn: None,
                left: None,
                data: None,
                data_id: None,
                end: 0,
                made: false,
                fresh: None,
                named: None,
                posts_in_turn: false,
            });
            state.begin(world, tid);
        }
        state
    }

    pub fn thread(&self, tid: Tid) -> &Thread {
        &self.threads[usize::from(tid)]
    }

    pub fn thread_mut(&mut self, tid: Tid) -> &mut Thread {
        &mut self.threads[usize::from(tid)]
    }

    pub fn client(&self, host: Host) -> &Client {
        &self.clients[usize::from(host)]
    }

    pub fn client_mut(&mut self, host: Host) -> &mut Client {
        &mut self.clients[usize::from(host)]
    }

    pub fn go(&mut self, tid: Tid, pc: Pc) {
        self.thread_mut(tid).pc = pc;
    }

    /// Begins the operation at which this thread is.
    pub fn begin(&mut self, world: &World, tid: Tid) {
        let pc = match world.op(tid, self.thread(tid).op) {
            None => Pc::Done,
            Some(Op::Acquire) if self.thread(tid).left.is_some() => world.enter(Then::Resume),
            Some(Op::Acquire | Op::Post) => world.enter(Then::Look),
            Some(Op::Append) => world.enter(Then::Append),
            Some(Op::Rewrite) => world.enter(Then::Rewrite),
            Some(Op::Release) => world.enter(Then::Release),
            Some(Op::Leave) => Pc::Leave,
            Some(Op::Revoke) => Pc::NameOwner,
        };
        self.go(tid, pc);
    }

    pub fn next_op(&mut self, world: &World, tid: Tid) {
        self.thread_mut(tid).op += 1;
        self.thread_mut(tid).posts_in_turn = false;
        self.begin(world, tid);
    }

    /// The turns that nobody has taken away, with their threads.
    pub fn turns(&self) -> impl Iterator<Item = (Tid, Owner)> + '_ {
        let ends = |pc: Pc| matches!(pc, Pc::Dead | Pc::LetGo);
        let turns = (0..).zip(&self.threads).filter(move |(_, thread)| !ends(thread.pc));
        turns
            .filter_map(|(tid, thread)| Some((tid, thread.turn?)))
            .filter(|(_, owner)| !self.lost.has(*owner))
    }

    /// The hold on this lock file is taken from its holder.
    pub fn lose(&mut self, lost: impl Fn(Tid, &Thread) -> bool) {
        let turns = (0..).zip(&self.threads).filter(|(tid, thread)| lost(*tid, thread));
        let owners: Vec<_> = turns.filter_map(|(_, thread)| thread.turn).collect();
        owners.into_iter().for_each(|owner| self.lost.insert(owner));
    }

    /// Remembers what went wrong, if this world promises that it does not. A check does not go on
    /// after that.
    pub fn flag(&mut self, world: &World, wrong: Wrong) {
        if world.promises(wrong) {
            self.wrong.insert(wrong as u8);
        }
    }

    /// Forgets what nobody can see any more.
    pub fn collect(&mut self) {
        let Self { server, clients, threads, .. } = self;
        let opened = |ino| threads.iter().any(|thread| thread.file == Some(ino));
        // A copy of a file that nobody can find again makes no difference.
        for client in clients.iter_mut() {
            let name = client.lock_name;
            client.records.retain(|(ino, _)| {
                server.lock_path == Some(*ino) || opened(*ino) || name == Name::Of(*ino)
            });
        }
        let session = |ino| {
            threads.iter().any(|it| it.data == Some(ino) || it.fresh == Some(ino))
                || clients.iter().any(|it| it.session_name == Name::Of(ino))
        };
        server.forget(
            |ino| opened(ino) || clients.iter().any(|client| client.knows_lock(ino)),
            session,
        );
    }
}
