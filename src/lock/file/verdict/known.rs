//! Owner processes, each looked up once, however many locks name it.
//!
//! Only for looking. Before a lock is removed, its owner is judged again, by the processes of that
//! moment ([`Known::afresh`]). What is reused even then is the list of the processes in other PID
//! namespaces, for owners that were in it if they lived.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Claim, Elsewhere, Facts, Processes};
use crate::sys::process::{Census, ProcessState};

/// The processes of this machine, as they were when each was first looked up.
#[derive(Default)]
pub(crate) struct Known {
    processes: Mutex<HashMap<i32, Arc<Answers>>>,
    census: Mutex<Option<Arc<Census>>>,
}

/// What is known of one process.
#[derive(Default)]
struct Answers {
    state: OnceLock<ProcessState>,
    start_time: OnceLock<Result<Option<u64>, io::ErrorKind>>,
    started_at: OnceLock<Option<Timestamp>>,
    command_line: OnceLock<Option<Vec<OsString>>>,
}

impl Known {
    /// The facts for one lock. `held_here` says whether a turn of this process holds its session,
    /// `writer` is the user that the lock file belongs to.
    pub(crate) fn facts(&self, held_here: bool, writer: Option<u32>) -> impl Facts + '_ {
        KnownFacts { known: self, processes: self.afresh(held_here, writer) }
    }

    /// The same, with every process looked up again.
    pub(crate) fn afresh(&self, held_here: bool, writer: Option<u32>) -> Processes<'_> {
        Processes { held_here, writer, known: Some(self) }
    }

    fn of(&self, pid: i32) -> Arc<Answers> {
        Arc::clone(self.processes.lock().entry(pid).or_default())
    }

    /// The census by which this claim can be judged. It is taken anew for an owner that may be
    /// younger than the last one.
    pub(super) fn census_for(&self, claim: &Claim) -> Arc<Census> {
        let mut census = self.census.lock();
        if let Some(census) = &*census
            && census.covers(claim.start_time, claim.created_at)
        {
            return Arc::clone(census);
        }
        let new = Arc::new(Census::take());
        *census = Some(Arc::clone(&new));
        new
    }
}

struct KnownFacts<'a> {
    known: &'a Known,
    processes: Processes<'a>,
}

impl Facts for KnownFacts<'_> {
    fn own_pid(&self) -> i32 {
        self.processes.own_pid()
    }

    fn own_start_time(&self) -> Option<u64> {
        self.processes.own_start_time()
    }

    fn held_here(&self) -> bool {
        self.processes.held_here
    }

    fn state(&self, pid: i32) -> ProcessState {
        *self.known.of(pid).state.get_or_init(|| self.processes.state(pid))
    }

    fn start_time(&self, pid: i32) -> io::Result<Option<u64>> {
        let known = self.known.of(pid);
        let answer = known
            .start_time
            .get_or_init(|| self.processes.start_time(pid).map_err(|error| error.kind()));
        (*answer).map_err(io::Error::from)
    }

    fn clock_unseen(&self, pid: i32) -> bool {
        self.processes.clock_unseen(pid)
    }

    fn started_at(&self, pid: i32) -> Option<Timestamp> {
        *self.known.of(pid).started_at.get_or_init(|| self.processes.started_at(pid))
    }

    fn command_line(&self, pid: i32) -> Option<Vec<OsString>> {
        self.known.of(pid).command_line.get_or_init(|| self.processes.command_line(pid)).clone()
    }

    fn boot_time(&self) -> Option<Timestamp> {
        self.processes.boot_time()
    }

    fn elsewhere(&self, claim: &Claim, lives: &dyn Fn(i32) -> bool) -> Elsewhere {
        self.processes.elsewhere(claim, lives)
    }
}
