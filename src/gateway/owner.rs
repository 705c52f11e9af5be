//! Who is named in a gateway lock, and whether the process of that number is still the one.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::Result;
use crate::error::printable;
use crate::lock::{self, PidClaim, Record};
use crate::place::Place;
use crate::sys::process::{self, ProcessState};

/// Whether the process of a recorded id is the one that wrote the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Identity {
    /// It lives, and was started when the record says.
    Verified,
    /// There is a process of that id, and nothing in the record tells it from a later one.
    Unverified,
    /// Another process has that id by now.
    Recycled,
    /// There is no such process.
    Gone,
    /// The id is of another container or another boot, and says nothing here.
    Elsewhere,
}

impl Identity {
    /// The word for it, as in reports and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Recycled => "recycled",
            Self::Gone => "gone",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// The process that a lock's record names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OwnerProcess {
    /// Its id, in its own PID namespace.
    pub pid: i32,
    /// When it was started, as recorded: clock ticks since boot.
    pub start_time: Option<u64>,
    /// Whether it is still the one.
    pub identity: Identity,
    /// The command line of the process that has the id now, if that may be the one.
    pub command: Option<String>,
}

/// The owner that a lock file names.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) record: Record,
    pub(super) process: OwnerProcess,
}

impl Owner {
    /// Who is named at `lock`; `None` if there is no lock file, or no record of a process in it.
    pub(super) fn at(lock: &Path) -> Result<Option<Self>> {
        let place = match Place::of_gateway(lock, false) {
            Err(crate::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            place => place?,
        };
        let Some(record) = lock::read_record(&place)? else { return Ok(None) };
        let PidClaim::Pid(pid) = record.pid else { return Ok(None) };
        let identity = identify(&record, pid);
        let command = match identity {
            Identity::Verified | Identity::Unverified => command_of(pid),
            Identity::Recycled | Identity::Gone | Identity::Elsewhere => None,
        };
        let process = OwnerProcess { pid, start_time: record.start_time, identity, command };
        Ok(Some(Self { record, process }))
    }

    /// The port that the record names. Not to be believed unless the owner lives.
    pub(super) fn port(&self) -> Option<u16> {
        self.record.port?.try_into().ok().filter(|port| *port != 0)
    }
}

fn identify(record: &Record, pid: i32) -> Identity {
    let me = process::own();
    if record.pid_ns.is_some_and(|ns| me.pid_namespace != Some(ns)) || !record.same_boot() {
        return Identity::Elsewhere;
    }
    if let ProcessState::Gone | ProcessState::Zombie = process::state(pid) {
        return Identity::Gone;
    }
    match (record.start_time, process::start_time(pid)) {
        (Some(recorded), Ok(Some(live))) if recorded == live => Identity::Verified,
        (Some(_), Ok(Some(_))) => Identity::Recycled,
        (_, Ok(None)) => Identity::Gone,
        _ => Identity::Unverified,
    }
}

/// The command line of a process, in one line fit to be shown.
pub(super) fn command_of(pid: i32) -> Option<String> {
    let words = process::command_line(pid)?;
    let words: Vec<_> = words.iter().map(|word: &OsString| word.to_string_lossy()).collect();
    Some(printable(&words.join(" ")))
}
