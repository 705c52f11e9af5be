//! What a judge may ask about processes. A trait, so that tests can set up any state of affairs.

use std::ffi::OsString;
use std::io;

use jiff::Timestamp;

use crate::sys::process::{self, ProcessState};

/// The questions of [`judge`](super::judge). Functions of the same names in [`process`] describe
/// the answers.
pub(crate) trait Facts {
    fn own_pid(&self) -> i32;
    /// Whether a turn of this process holds the session in question.
    fn held_here(&self) -> bool;
    fn state(&self, pid: i32) -> ProcessState;
    fn start_time(&self, pid: i32) -> io::Result<Option<u64>>;
    /// Whether the process may have another clock than this one. It may then have recorded another
    /// start time for itself than this process reads.
    fn clock_unseen(&self, pid: i32) -> bool;
    fn started_at(&self, pid: i32) -> Option<Timestamp>;
    fn command_line(&self, pid: i32) -> Option<Vec<OsString>>;
}

/// The processes of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processes {
    /// The answer to [`Facts::held_here`]. A contender for the session knows that it is not.
    pub held_here: bool,
}

impl Facts for Processes {
    fn own_pid(&self) -> i32 {
        process::own().pid
    }

    fn held_here(&self) -> bool {
        self.held_here
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
