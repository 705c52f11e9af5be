//! Owner processes, each looked up once, however many locks name it.
//!
//! Only for looking. Before a lock is removed, its owner is judged again, by the processes of that
//! moment.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Facts, Processes};
use crate::sys::process::ProcessState;

/// The processes of this machine, as they were when each was first looked up.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<i32, Arc<Answers>>>);

/// What is known of one process.
#[derive(Default)]
struct Answers {
    state: OnceLock<ProcessState>,
    start_time: OnceLock<Result<Option<u64>, io::ErrorKind>>,
    started_at: OnceLock<Option<Timestamp>>,
    command_line: OnceLock<Option<Vec<OsString>>>,
}

impl Known {
    /// The facts for one lock. `held_here` says whether a turn of this process holds its session.
    pub(crate) fn facts(&self, held_here: bool) -> impl Facts + '_ {
        KnownFacts { known: self, processes: Processes { held_here } }
    }

    fn of(&self, pid: i32) -> Arc<Answers> {
        Arc::clone(self.0.lock().entry(pid).or_default())
    }
}

struct KnownFacts<'a> {
    known: &'a Known,
    processes: Processes,
}

impl Facts for KnownFacts<'_> {
    fn own_pid(&self) -> i32 {
        self.processes.own_pid()
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
}
