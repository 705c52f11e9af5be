//! Facts through `sysinfo`, on systems other than Linux. The tests on Linux run this file too, and
//! compare.

use std::ffi::OsString;
use std::io;

use jiff::Timestamp;
use sysinfo::{
    Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind,
};

pub(super) fn is_zombie(pid: i32) -> bool {
    let dead =
        |process: &Process| matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead);
    look(pid, ProcessRefreshKind::nothing(), dead).unwrap_or(false)
}

#[cfg(all(feature = "gateway", not(target_os = "linux")))]
pub(super) fn parent(pid: i32) -> Option<i32> {
    let parent = look(pid, ProcessRefreshKind::nothing(), Process::parent)??;
    i32::try_from(parent.as_u32()).ok()
}

/// Other systems have no PID namespaces.
#[cfg(all(feature = "gateway", not(target_os = "linux")))]
pub(super) fn ids(pid: i32) -> Vec<i32> {
    vec![pid]
}

/// `sysinfo` tells seconds since 1970, while a record has clock ticks since boot.
pub(super) fn start_time(_pid: i32) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Other systems have no time namespaces.
pub(super) fn clock_unseen(_pid: i32) -> bool {
    false
}

pub(super) fn started_at(pid: i32) -> Option<Timestamp> {
    let seconds = look(pid, ProcessRefreshKind::nothing(), Process::start_time)?;
    // `sysinfo` says zero for "not allowed to see".
    timestamp(seconds).filter(|_| seconds > 0)
}

pub(super) fn boot_time() -> Option<Timestamp> {
    timestamp(System::boot_time().ok()?)
}

pub(super) fn command_line(pid: i32) -> Option<Vec<OsString>> {
    let kind = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always);
    look(pid, kind, |process| process.cmd().to_vec())
}

pub(super) fn own_start_time() -> Option<u64> {
    None
}

/// The second of the boot stands in for an id. It moves when the clock is set. A record then looks
/// like one of another boot, which is the cautious mistake.
pub(super) fn boot_id() -> Option<String> {
    Some(format!("boot-time-{}", System::boot_time().ok()?))
}

pub(super) fn pid_namespace() -> Option<u64> {
    None
}

fn look<T>(pid: i32, kind: ProcessRefreshKind, see: impl FnOnce(&Process) -> T) -> Option<T> {
    let pid = Pid::from_u32(u32::try_from(pid).ok()?);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        kind.without_tasks(),
    );
    system.process(pid).map(see)
}

fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}
