//! What a judge may ask about processes; a trait, so that tests can set up any state of affairs.

use std::ffi::OsString;
use std::io;

use jiff::Timestamp;

use crate::sys::process::{self, ProcessState};

/// The questions of [`judge`](super::judge); see [`process`] for the answers.
pub(crate) trait Facts {
    fn own_pid(&self) -> i32;
    /// Whether a turn of this very process holds the session in question.
    fn registry_knows(&self) -> bool;
    fn state(&self, pid: i32) -> ProcessState;
    fn start_time(&self, pid: i32) -> io::Result<Option<u64>>;
    /// Whether it cannot be seen if the process has our clock: it may have recorded another start time for itself than we read.
    fn clock_unseen(&self, pid: i32) -> bool;
    fn started_at(&self, pid: i32) -> Option<Timestamp>;
    fn command_line(&self, pid: i32) -> Option<Vec<OsString>>;
}

/// The processes of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processes {
    /// The answer to [`Facts::registry_knows`]. Whoever asks as a contender for the session knows that nobody here holds it.
    pub registry_knows: bool,
}

impl Facts for Processes {
    fn own_pid(&self) -> i32 {
        process::own().pid
    }

    fn registry_knows(&self) -> bool {
        self.registry_knows
    }

    fn state(&self, pid: i32) -> ProcessState {
        process::state(pid)
    }

    fn start_time(&self, pid: i32) -> io::Result<Option<u64>> {
        process::start_time(pid)
    }

    fn clock_unseen(&self, pid: i32) -> bool {
        process::clock_unseen(pid)
    }

    fn started_at(&self, pid: i32) -> Option<Timestamp> {
        process::started_at(pid)
    }

    fn command_line(&self, pid: i32) -> Option<Vec<OsString>> {
        process::command_line(pid)
    }
}
