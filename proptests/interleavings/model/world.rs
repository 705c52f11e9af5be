//! What a world is made of: who runs what, which faults may happen, and which bug is seeded.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::fs::Pid;

/// What a thread does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Acquire the turn.
    Acquire,
    /// Append one line under the turn.
    Append,
    /// Append one line that is made from the last one, under the turn.
    Made,
    /// Hand an append to the process's closure thread and do not wait for it (a cancelled append).
    Abandon,
    /// Rewrite the session file under the turn.
    Rewrite,
    /// Remove the session file, or give it another name, under the turn.
    Remove,
    /// Release the turn.
    Release,
    /// Append one line without the turn.
    Post,
    /// Revoke whoever holds the session now.
    Revoke,
    /// Remove the lock file if its owner is dead.
    Sweep,
    /// A foreign program's whole turn: create, write, append, remove.
    Foreign,
    /// The same, but it reads the session file and writes it anew, in place, with a line more.
    ForeignRewrite,
}

/// A thread.
#[derive(Clone, Debug)]
pub struct Spec {
    pub pid: Pid,
    pub role: Role,
    pub script: Vec<Op>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs its script.
    Task,
    /// Waits for late unlinks.
    Keeper,
    /// Waits for abandoned appends.
    Closure,
}

/// Number of times that each fault may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A process dies, between two system calls or in the middle of a write.
    pub crash: u8,
    /// A process is stopped for good.
    pub stop: u8,
    /// Somebody removes the lock file.
    pub rm: u8,
    /// A foreign program renames a copy over the session file.
    pub replace: u8,
    /// A foreign program renames the session file away.
    pub reset: u8,
    /// A foreign program cuts the session file in place.
    pub shrink: u8,
    /// The lock file gets a second name (a hard link), which stays.
    pub link: u8,
    /// A thread that waits is not told that the path names another file now.
    pub lost_notice: u8,
    /// User code panics on a thread of ours, which unwinds.
    pub panic: u8,
    /// A write is short.
    pub short: u8,
    /// A holder forks; the child never calls `exec`.
    pub fork: u8,
    /// A program that may only read the session file keeps it locked for good.
    pub reader: u8,
}

/// The seeded bugs. Each is one thing that the protocol does, left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bugs {
    pub no_inode_check: bool,
    pub no_owner_check: bool,
    pub no_closed_check: bool,
    pub unlink_outside: bool,
    pub revoke_outside: bool,
    pub publish_outside: bool,
    pub take_outside: bool,
    pub create_then_fill: bool,
    pub wait_inside: bool,
    pub remove_and_create: bool,
    pub fence_early: bool,
    pub no_session_compare: bool,
    /// The last line is looked at before the data lock is asked for.
    pub made_outside: bool,
    pub no_last_compare: bool,
    pub child_unlocks: bool,
    pub close_only: bool,
    pub rewrite_new_unlocked: bool,
    pub post_unlocked: bool,
    pub post_keeps_record: bool,
    pub no_seal: bool,
    pub no_watch: bool,
    /// As in the first draft of the protocol: the watch sees another file at the path, but not that
    /// there is none.
    pub watch_other_only: bool,
    /// As in the first implementation: nobody watches a wait for the data lock.
    pub no_data_watch: bool,
    /// As in the first draft of the protocol: the keeper tries once, and forgets a file that was
    /// busy.
    pub keeper_tries_once: bool,
    /// As in the first draft of the protocol: before it acknowledges, an append compares the
    /// session file only.
    pub ack_session_only: bool,
    pub session_removed_last: bool,
    /// As in the first implementation: the session file goes, and the record still names its owner.
    pub not_disowned: bool,
    pub unlink_blindly: bool,
    pub go_on_blindly: bool,
    pub keeps_for_good: bool,
    pub keeper_forgets_the_next: bool,
    /// The keeper takes the record that it hears of last for the last.
    pub numbered_when_told: bool,
    /// The keeper takes the record that was released last for the last.
    pub numbered_when_let_go: bool,
    /// As in the code before: a turn remembers the number of the session file that it has seen, and
    /// does not keep that file open.
    pub known_unpinned: bool,
    /// As in the code before: a post remembers the number of the lock file beside whose holder it
    /// writes, and does not keep that file open.
    pub beside_unpinned: bool,
    /// As in the code before: a holder is not told that the session file is another, or shorter
    /// than what it has seen.
    pub not_told: bool,
    /// A rewrite compares how long the file is, but not whether it still has the line that was seen
    /// last.
    pub length_only: bool,
    /// As in the code before: a lock file with a second name is refused.
    pub links_refused: bool,
    /// The name of such a file is unlinked without its `flock`.
    pub links_unlinked_blindly: bool,
    /// The watch is told of a change, and does not look for itself.
    pub watch_only_told: bool,
    /// As in the code before: a waiting thread that panics keeps the stage of its queue.
    pub stage_kept: bool,
    /// A turn that ends by a panic is not told to the keeper.
    pub panic_untold: bool,
    /// Whoever exchanges a lock file does not look at what was there.
    pub exchange_blindly: bool,
}

/// A model to check.
#[derive(Clone, Debug)]
pub struct World {
    pub threads: Vec<Spec>,
    pub budget: Budget,
    pub bugs: Bugs,
    /// What has been seen to happen, by `Event as u32`. Shared by the clones.
    pub events: Arc<AtomicU32>,
    /// Are properties checked that no program can promise in this world? That shows where the
    /// limits are.
    pub beyond_limits: bool,
    /// Is I2 itself checked? Not where a bug is to be found by its consequences.
    pub watch_sections: bool,
    /// Are unlinks checked? Not where their further consequences are to be shown.
    pub watch_unlinks: bool,
    /// Is it checked that a holder is told of a change? Not where its further consequences are to
    /// be shown.
    pub watch_told: bool,
    /// Is there a session file at the start?
    pub session: bool,
    /// Does a post make the session file if there is none?
    pub posts_create: bool,
    /// May a waiter give up?
    pub give_up: bool,
    /// Does whoever removes lock files spare those of foreign programs? Those have no fence.
    pub rm_spares_foreign: bool,
    /// Is a foreign program so slow between create and write that the 30 s pass?
    pub slow_foreign: bool,
}

impl World {
    pub fn new() -> Self {
        World {
            threads: Vec::new(),
            budget: Budget::default(),
            bugs: Bugs::default(),
            events: Arc::default(),
            beyond_limits: false,
            watch_sections: true,
            watch_unlinks: true,
            watch_told: true,
            session: true,
            posts_create: false,
            give_up: false,
            rm_spares_foreign: false,
            slow_foreign: false,
        }
    }

    fn thread(mut self, pid: Pid, role: Role, script: &[Op]) -> Self {
        let script = script.to_vec();
        self.threads.push(Spec { pid, role, script });
        self
    }

    pub fn task(self, pid: Pid, script: &[Op]) -> Self {
        self.thread(pid, Role::Task, script)
    }

    pub fn keeper(self, pid: Pid) -> Self {
        self.thread(pid, Role::Keeper, &[])
    }

    pub fn closure(self, pid: Pid) -> Self {
        self.thread(pid, Role::Closure, &[])
    }

    pub fn budget(mut self, set: impl FnOnce(&mut Budget)) -> Self {
        set(&mut self.budget);
        self
    }

    pub fn bug(mut self, set: impl FnOnce(&mut Bugs)) -> Self {
        set(&mut self.bugs);
        self.watch_sections = false;
        self
    }

    pub fn without_session(mut self) -> Self {
        self.session = false;
        self
    }

    pub fn posts_creating(mut self) -> Self {
        self.posts_create = true;
        self
    }

    pub fn giving_up(mut self) -> Self {
        self.give_up = true;
        self
    }

    pub fn rm_sparing_foreign(mut self) -> Self {
        self.budget.rm = 1;
        self.rm_spares_foreign = true;
        self
    }

    pub fn slow_foreign(mut self) -> Self {
        self.slow_foreign = true;
        self
    }

    pub fn processes(&self) -> usize {
        self.threads.iter().map(|thread| usize::from(thread.pid) + 1).max().unwrap_or(0)
    }
}
