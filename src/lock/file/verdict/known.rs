//! Owner processes, each looked up once, however many locks name it.
//!
//! Good for looking. What is to be removed is judged anew, by the processes of that moment.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::{Facts, Processes};
use crate::sys::process::ProcessState;

/// The processes of this machine, as they were when they were first asked after.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<i32, Arc<Seen>>>);

#[derive(Default)]
struct Seen {
    state: OnceLock<ProcessState>,
    start_time: OnceLock<Result<Option<u64>, io::ErrorKind>>,
    started_at: OnceLock<Option<Timestamp>>,
    command_line: OnceLock<Option<Vec<OsString>>>,
}

impl Known {
    /// The facts for one lock. `registry_knows`: whether a turn of this very process holds its session.
    pub(crate) fn facts(&self, registry_knows: bool) -> impl Facts + '_ {
        Look { known: self, asked: Processes { registry_knows } }
    }

    fn seen(&self, pid: i32) -> Arc<Seen> {
        Arc::clone(self.0.lock().entry(pid).or_default())
    }
}

struct Look<'a> {
    known: &'a Known,
    asked: Processes,
}

impl Facts for Look<'_> {
    fn own_pid(&self) -> i32 {
        self.asked.own_pid()
    }

    fn registry_knows(&self) -> bool {
        self.asked.registry_knows
    }

    fn state(&self, pid: i32) -> ProcessState {
        *self.known.seen(pid).state.get_or_init(|| self.asked.state(pid))
    }

    fn start_time(&self, pid: i32) -> io::Result<Option<u64>> {
        let seen = self.known.seen(pid);
        let answer = seen
            .start_time
            .get_or_init(|| self.asked.start_time(pid).map_err(|error| error.kind()));
        (*answer).map_err(io::Error::from)
    }

    fn clock_unseen(&self, pid: i32) -> bool {
        self.asked.clock_unseen(pid)
    }

    fn started_at(&self, pid: i32) -> Option<Timestamp> {
        *self.known.seen(pid).started_at.get_or_init(|| self.asked.started_at(pid))
    }

    fn command_line(&self, pid: i32) -> Option<Vec<OsString>> {
        self.known.seen(pid).command_line.get_or_init(|| self.asked.command_line(pid)).clone()
    }
}
