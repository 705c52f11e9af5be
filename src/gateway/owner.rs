//! The process that a gateway lock names, and whether the process with that id is still the same.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::{Result, arguments};
use crate::compat::openclaw;
use crate::error::printable;
use crate::lock::{self, NamedOwner, PidClaim, Record};
use crate::place::Place;
use crate::sys::flock::BlockedBy;
use crate::sys::process::{self, ProcessState};
use crate::sys::sharers::{has_open, may_signal};
use crate::sys::{self, flock};

/// Whether the process that has a recorded id is the one that wrote the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Identity {
    /// The process lives and was started when the record says; the lock file is root's or its
    /// user's; and it has the kernel's lock or, if its program takes none, has the lock file open,
    /// and its command line can be a gateway's.
    Verified,
    /// There is a process with that id, and one of these proofs is missing.
    Unverified,
    /// Another process has that id by now.
    Recycled,
    /// There is no such process.
    Gone,
    /// The id belongs to another container or another boot, and means nothing here.
    Elsewhere,
}

impl Identity {
    /// Returns the word for it in reports and in JSON.
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
    /// Its id in the PID namespace of this process, if it has been found here.
    pub pid_here: Option<i32>,
    /// When it was started, as recorded, in clock ticks since boot.
    #[serde(rename = "startTimeTicks")]
    pub start_time: Option<u64>,
    /// Whether the process that has the id now is the one that wrote the record.
    pub identity: Identity,
    /// The command line of the process that has the id now, if it may be the same process.
    pub command: Option<String>,
}

/// The owner that a lock file names.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) record: Record,
    pub(super) process: OwnerProcess,
}

impl Owner {
    /// Returns the owner that `lock` names; `None` if there is no lock file, or its record names no
    /// process.
    pub(super) fn at(lock: &Path) -> Result<Option<Self>> {
        let place = match Place::of_gateway(lock, false) {
            Err(crate::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            place => place?,
        };
        let Some(named) = lock::read_record(&place)? else { return Ok(None) };
        let PidClaim::Pid(pid) = named.record.pid else { return Ok(None) };
        let (identity, pid_here) = match in_another_namespace(&named, pid) {
            Some(here) => (Identity::Verified, Some(here)),
            None => {
                let identity = identify(&named, pid);
                let is_here = matches!(identity, Identity::Verified | Identity::Unverified);
                (identity, is_here.then_some(pid))
            }
        };
        let record = named.record;
        let command = pid_here.and_then(command_of);
        let start_time = record.start_time;
        let process = OwnerProcess { pid, pid_here, start_time, identity, command };
        Ok(Some(Self { record, process }))
    }

    /// Returns the port that the record names. It means nothing unless the owner lives.
    pub(super) fn port(&self) -> Option<u16> {
        self.record.port?.try_into().ok().filter(|port| *port != 0)
    }
}

fn identify(named: &NamedOwner, pid: i32) -> Identity {
    let record = &named.record;
    let me = process::own();
    if record.pid_ns.is_some_and(|ns| me.pid_namespace != Some(ns)) || !record.same_boot() {
        return Identity::Elsewhere;
    }
    if let ProcessState::Gone | ProcessState::Zombie = process::state(pid) {
        return Identity::Gone;
    }
    match (record.start_time, process::start_time(pid)) {
        (Some(recorded), Ok(Some(live))) if recorded == live => match is_proved(named, pid) {
            true => Identity::Verified,
            false => Identity::Unverified,
        },
        (Some(_), Ok(Some(_))) => Identity::Recycled,
        (_, Ok(None)) => Identity::Gone,
        _ => Identity::Unverified,
    }
}

/// The id here of an owner in a container, which names itself by its id there. The kernel tells who
/// has the lock; that process has the recorded id there, and was started when the record says.
fn in_another_namespace(named: &NamedOwner, pid: i32) -> Option<i32> {
    let record = &named.record;
    let ours = process::own().pid_namespace;
    let is_elsewhere = record.pid_ns.is_some_and(|ns| ours != Some(ns)) && record.same_boot();
    let here = i32::try_from(lock_holder(named).filter(|_| is_elsewhere)?).ok()?;
    let is_it = process::innermost_id(here) == Some(pid)
        && record.start_time.is_some()
        && process::start_time(here).ok().flatten() == record.start_time
        && may_signal(named.file.file(), here).unwrap_or(false);
    is_it.then_some(here)
}

/// The process that has the kernel's lock on the lock file.
fn lock_holder(named: &NamedOwner) -> Option<u32> {
    let blocker = flock::blocker_of(&sys::stat(named.file.file()).ok()?)?;
    (blocker.by == BlockedBy::Lock).then_some(blocker.pid)
}

/// Whether more than the record says that `pid` is the owner. A record is only text: whoever may
/// write into the directory could name any process in it.
///
/// The lock file is root's, or of the user whose process it names. And that process has the
/// kernel's lock; or, if its program takes none, it has the lock file open as OpenClaw does, and
/// can be a gateway by its command line.
fn is_proved(named: &NamedOwner, pid: i32) -> bool {
    let is_users = may_signal(named.file.file(), pid).unwrap_or(false);
    is_users
        && if named.foreign {
            has_open(pid, named.file.file()).unwrap_or(false)
                && process::command_line(pid).is_some_and(|words| openclaw::is_agent(&words))
        } else {
            lock_holder(named) == u32::try_from(pid).ok()
        }
}

/// Returns the command line of a process as one printable line, without secrets.
pub(super) fn command_of(pid: i32) -> Option<String> {
    let words = process::command_line(pid)?;
    Some(printable(&arguments::masked(words.iter().map(|word| word.to_string_lossy()))))
}
