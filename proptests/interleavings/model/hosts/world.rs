//! What a world of several hosts is made of: who runs what where, which faults may happen, and
//! which bug is seeded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::server::{Host, Owner, Tid};
use super::state::Event;

/// What a thread does, one after the other. Each is a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Acquire,
    Append,
    Rewrite,
    Release,
    /// Release by an unlock alone: the lock file stays for the next turn of this process (I22).
    Leave,
    /// Append one line without the turn.
    Post,
    /// Revoke whoever holds the session now.
    Revoke,
}

/// Number of times that each fault may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A host is cut off from the server, for as long as it may be. One that is stopped takes no
    /// step of its own either.
    pub cut: u8,
    /// A host loses its power.
    pub off: u8,
    /// A process dies.
    pub kill: u8,
    /// The server is started anew.
    pub restart: u8,
    /// The server has a line, and says that it could not be synced.
    pub unsynced: u8,
}

/// The seeded bugs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bugs {
    /// The fence does not take the `flock` again.
    pub no_flock: bool,
    /// What the fence is told of a lock that the server has given up counts as a failed look.
    pub given_up_is_held: bool,
    /// Names are compared as the host knows them.
    pub names_not_fetched: bool,
    /// The record is not read anew once the lock is granted.
    pub record_from_copy: bool,
    /// The temporary name of a lock file is removed while the file is open by it.
    pub open_by_temporary: bool,
    /// A lock file whose record names a host that is cut off is taken over without its lock.
    pub taken_unlocked: bool,
    /// An append is acknowledged before the server has it.
    pub acknowledged_unsent: bool,
    /// What was written is cut off by a host that has lost the data lock.
    pub cut_back_unlocked: bool,
    /// A post writes into the file that it makes while a rewrite has left none.
    pub post_in_the_gap: bool,
    /// As in the code before: a post waits only if it has made that file itself.
    pub post_in_anothers_gap: bool,
    /// The next three are promises of the server. It takes writes under a lock that it gave up.
    pub writes_untied: bool,
    /// It gives the locks of a host to others while that host is well connected.
    pub no_lease: bool,
    /// It grants locks before those who had them have reclaimed theirs.
    pub no_grace: bool,
}

/// A model to check.
#[derive(Clone, Debug)]
pub struct World {
    /// The host of each thread, and what it does.
    pub threads: Vec<(Host, Vec<Op>)>,
    pub budget: Budget,
    pub bugs: Bugs,
    /// Is a lock file delegated to its host, which then takes its lock again without a request?
    pub delegated: bool,
    /// The one property to check, which nobody can promise here.
    pub beyond_limits: Option<&'static str>,
    /// What has been seen to happen, by `Event as u32`. Shared by the clones.
    pub events: Arc<AtomicU32>,
}

impl World {
    pub fn new() -> Self {
        Self {
            threads: Vec::new(),
            budget: Budget::default(),
            bugs: Bugs::default(),
            delegated: false,
            beyond_limits: None,
            events: Arc::default(),
        }
    }

    pub fn on(mut self, host: Host, script: &[Op]) -> Self {
        self.threads.push((host, script.to_vec()));
        self
    }

    pub fn budget(mut self, set: impl FnOnce(&mut Budget)) -> Self {
        set(&mut self.budget);
        self
    }

    pub fn bug(mut self, set: impl FnOnce(&mut Bugs)) -> Self {
        set(&mut self.bugs);
        self
    }

    pub fn delegated(mut self) -> Self {
        self.delegated = true;
        self
    }

    pub fn beyond_limits(mut self, property: &'static str) -> Self {
        self.beyond_limits = Some(property);
        self
    }

    pub fn hosts(&self) -> u8 {
        self.threads.iter().map(|(host, _)| host + 1).max().unwrap_or(0)
    }

    pub fn host(&self, tid: Tid) -> Host {
        self.threads[usize::from(tid)].0
    }

    pub fn op(&self, tid: Tid, at: u8) -> Option<Op> {
        self.threads[usize::from(tid)].1.get(usize::from(at)).copied()
    }

    /// A line, or the owner of a hold, by the thread and operation that made it.
    pub fn number(tid: Tid, op: u8) -> Owner {
        tid * 8 + op
    }

    pub fn has(&self, op: Op) -> bool {
        self.threads.iter().any(|(_, script)| script.contains(&op))
    }

    /// May a session file come and go?
    pub fn session_moves(&self) -> bool {
        self.has(Op::Rewrite)
    }

    /// May a host be away from the server for longer than its lease?
    pub fn leases_run_out(&self) -> bool {
        self.budget.cut > 0 || self.bugs.no_lease
    }

    pub fn saw(&self, event: Event) {
        self.events.fetch_or(1 << event as u32, Ordering::Relaxed);
    }

    pub fn showed(&self, event: Event) -> bool {
        self.events.load(Ordering::Relaxed) & (1 << event as u32) != 0
    }
}
