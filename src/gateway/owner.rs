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
        let identity = identify(&named, pid);
        let record = named.record;
        let command = match identity {
            Identity::Verified | Identity::Unverified => command_of(pid),
            Identity::Recycled | Identity::Gone | Identity::Elsewhere => None,
        };
        let process = OwnerProcess { pid, start_time: record.start_time, identity, command };
        Ok(Some(Self { record, process }))
    }

    /// Whether `lock` names `pid`, and more than its record says so.
    pub(super) fn is_verified(lock: &Path, pid: i32) -> bool {
        let owner = Self::at(lock).ok().flatten();
        owner.is_some_and(|owner| {
            owner.process.pid == pid && owner.process.identity == Identity::Verified
        })
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
            let blocker =
                sys::stat(named.file.file()).ok().and_then(|stat| flock::blocker_of(&stat));
            let holder = blocker.filter(|blocker| blocker.by == BlockedBy::Lock);
            holder.map(|holder| holder.pid) == u32::try_from(pid).ok()
        }
}

/// Returns the command line of a process as one printable line, without secrets.
pub(super) fn command_of(pid: i32) -> Option<String> {
    let words = process::command_line(pid)?;
    Some(printable(&arguments::masked(words.iter().map(|word| word.to_string_lossy()))))
}
