//! What is left of a gateway that is gone: processes that it lent its locks to, and that keep them.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use super::owner::{Owner, command_of};
use super::{GatewayBuilder, Identity, Result};
use crate::error::Context;
use crate::sys;
use crate::sys::process::{self, End, Handle};
use crate::sys::sharers::{is_sharer, may_signal, sharers};

/// How often is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long one that was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(2);

/// The processes that are left of a gateway, and keep its locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Remains {
    /// The process id of the gateway, which has ended.
    pub gateway: i32,
    /// What it started, and has not ended.
    pub processes: Vec<Remainder>,
}

/// A process that is left of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Remainder {
    /// Its process id.
    pub pid: i32,
    /// Its command line, where that can be read.
    pub command: Option<String>,
}

/// `pid 456 (node gateway.mjs), pid 457`.
impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, process) in self.processes.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}pid {}", process.pid)?;
            process.command.as_ref().map_or(Ok(()), |command| write!(f, " ({command})"))?;
        }
        Ok(())
    }
}

/// Looks for processes that are left of a gateway that was killed, and that keep this gateway's
/// locks; see [`Gateway::with_lock_fds`](super::Gateway::with_lock_fds). `None` if there are none,
/// which is always so while the process that took the locks lives.
///
/// Blocking: two short reads, and some milliseconds if the gateway is gone.
///
/// # Errors
/// If there is no such state directory, or a lock cannot be looked at.
pub fn remains(gateway: &GatewayBuilder) -> Result<Option<Remains>> {
    Ok(Remains::of(&left(gateway)?))
}

/// Ends what is left of a gateway that was killed: asks each process to end (SIGTERM), and ends it
/// (SIGKILL) if it has not after `grace`. Returns what is left even then; `None` if nothing is.
///
/// Only a process that has inherited the very lock of this gateway, whose gateway took it in this
/// PID namespace and has ended, and that the owner of the lock file could signal as well. It is
/// bound to a process descriptor before that is looked at, so that no later process of the same id
/// is ever hit. Blocking, for `grace` and two seconds at most.
///
/// # Errors
/// Those of [`remains`]; [`Error::Io`](crate::Error::Io) without the right to signal one of them.
pub fn end_remains(gateway: &GatewayBuilder, grace: Duration) -> Result<Option<Remains>> {
    let began = Instant::now();
    let mut told: HashMap<i32, (Handle, End)> = HashMap::new();
    loop {
        let left = left(gateway)?;
        if left.is_empty() || began.elapsed() > grace.saturating_add(KILLED) {
            return Ok(Remains::of(&left));
        }
        let how = if began.elapsed() < grace { End::Ask } else { End::Kill };
        for lock in &left {
            for &pid in &lock.heirs {
                if is_told(&told, pid, how) {
                    continue;
                }
                if let Some(handle) = lock.end(pid, how)? {
                    told.insert(pid, (handle, how));
                }
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether this very process has been made to end so already.
fn is_told(told: &HashMap<i32, (Handle, End)>, pid: i32, how: End) -> bool {
    told.get(&pid).is_some_and(|(handle, told)| {
        *told == how && matches!(handle.ends_within(Duration::ZERO), Ok(false))
    })
}

impl Remains {
    fn of(left: &[Left]) -> Option<Self> {
        let mut pids: Vec<_> = left.iter().flat_map(|lock| &lock.heirs).copied().collect();
        pids.sort_unstable();
        pids.dedup();
        let remainder = |pid| Remainder { pid, command: command_of(pid) };
        let processes = pids.into_iter().map(remainder).collect();
        Some(Self { gateway: left.first()?.gateway, processes })
    }
}

/// A lock of a gateway that is gone, and who keeps it.
struct Left {
    lock: PathBuf,
    file: File,
    /// Whom the record names.
    gateway: i32,
    owner: Uuid,
    /// The processes that got the lock from that gateway. At least one.
    heirs: Vec<i32>,
}

fn left(gateway: &GatewayBuilder) -> Result<Vec<Left>> {
    let layout = gateway.layout(false)?;
    let config_lock = (!gateway.multi).then(|| layout.config_lock());
    let locks = [layout.state_lock()].into_iter().chain(config_lock);
    locks.filter_map(|lock| Left::at(lock).transpose()).collect()
}

impl Left {
    fn at(lock: &Path) -> Result<Option<Self>> {
        // From here on no other file has its number.
        let file = match sys::open_to_read(lock) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.context("open", lock)?,
        };
        let Some((gateway, owner)) = gone(lock)? else { return Ok(None) };
        let mut left = Self { lock: lock.to_owned(), file, gateway, owner, heirs: Vec::new() };
        left.heirs = left.find_heirs().context("see who keeps", lock)?;
        Ok((!left.heirs.is_empty()).then_some(left))
    }

    fn find_heirs(&self) -> io::Result<Vec<i32>> {
        let mut heirs = sharers(&self.file, self.is_taker())?;
        heirs.retain(|pid| *pid != self.gateway && *pid != process::own().pid);
        Ok(heirs)
    }

    /// Whether the gateway that is gone took the lock. A later one takes it itself, and lives.
    fn is_taker(&self) -> impl Fn(i32) -> bool + use<> {
        let gateway = self.gateway;
        move |taker| taker == gateway || taker == 0
    }

    /// Makes one of them end. `None` if it has ended, keeps the lock no longer, or is not for the
    /// owner of the lock to end.
    fn end(&self, pid: i32, how: End) -> Result<Option<Handle>> {
        let opened = Handle::open(pid).context("open a process that keeps", &self.lock)?;
        let Some(process) = opened else { return Ok(None) };
        // Only now it is certain that whoever is looked at is the one that will be signalled.
        let is_heir = is_sharer(pid, &self.file, self.is_taker());
        let is_heir = is_heir.context("see who keeps", &self.lock)?;
        // Root does nothing here that the owner of the lock could not do himself.
        let may = may_signal(&self.file, pid).context("look at", &self.lock)?;
        if !is_heir || !may || gone(&self.lock)? != Some((self.gateway, self.owner)) {
            return Ok(None);
        }
        tracing::info!(lock = %self.lock.display(), pid, ?how, "ending what is left of a gateway");
        process.end(how).context("signal a process that keeps", &self.lock)?;
        Ok(Some(process))
    }
}

/// The gateway that a lock names, if it is of this protocol and has ended for certain.
fn gone(lock: &Path) -> Result<Option<(i32, Uuid)>> {
    let Some(Owner { record, process }) = Owner::at(lock)? else { return Ok(None) };
    let is_gone = matches!(process.identity, Identity::Gone | Identity::Recycled);
    // A number without a namespace may be another container's.
    Ok(record
        .owner
        .filter(|_| is_gone && record.pid_ns.is_some())
        .map(|owner| (process.pid, owner)))
}
