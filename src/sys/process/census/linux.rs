//! The list from `/proc`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};

use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::geteuid;

use super::super::linux;
use super::{Sight, cgroup};

/// The inode of the machine's first PID namespace, which is the same on all machines.
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFC;
/// The parent of all kernel threads has this id in the first PID namespace, and lives in no other.
const KTHREADD: i32 = 2;

pub(super) fn list() -> (HashMap<i32, Vec<i32>>, Sight) {
    if !linux::proc_is_ours() {
        return (HashMap::new(), Sight::Part);
    }
    let mut namesakes: HashMap<i32, Vec<i32>> = HashMap::new();
    let look = each_process(|pid, status| {
        for inner in ids_elsewhere(status) {
            namesakes.entry(inner).or_default().push(pid);
        }
    });
    (namesakes, sight(look))
}

/// How far a look at all processes went.
enum Look {
    Complete,
    /// Some were hidden from this user.
    Hidden,
    /// It failed.
    Failed,
}

/// Calls `see` with each process and its `status`.
fn each_process(mut see: impl FnMut(i32, &[u8])) -> Look {
    let Ok(entries) = fs::read_dir("/proc") else { return Look::Failed };
    let mut look = Look::Complete;
    let mut status = Vec::with_capacity(4096);
    for entry in entries {
        let Ok(entry) = entry else { return Look::Failed };
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        match read(pid, &mut status) {
            Ok(()) => see(pid, &status),
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => look = Look::Hidden,
            Err(_) => return Look::Failed,
        }
    }
    look
}

fn read(pid: i32, status: &mut Vec<u8>) -> io::Result<()> {
    status.clear();
    File::open(format!("/proc/{pid}/status"))?.read_to_end(status).map(drop)
}

/// The ids of a process in the PID namespaces below ours.
pub(super) fn ids_elsewhere(status: &[u8]) -> impl Iterator<Item = i32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"));
    let ids = line.and_then(|ids| std::str::from_utf8(ids).ok()).unwrap_or_default();
    // The first is its id in our own namespace.
    ids.split_ascii_whitespace().skip(1).filter_map(|id| id.parse().ok())
}

/// A process that sees the kernel's threads is in the machine's first PID namespace, and nothing is
/// hidden from it. Where processes of others are hidden (`hidepid`), its own user's are not.
fn sight(look: Look) -> Sight {
    match look {
        Look::Failed => Sight::Part,
        Look::Complete if linux::stat(KTHREADD).is_ok_and(|it| it.is_kernel_thread()) => Sight::All,
        _ if linux::pid_namespace() == Some(FIRST_NAMESPACE) => Sight::OfUser(geteuid().as_raw()),
        _ => Sight::Part,
    }
}

pub(super) fn ticks_now() -> Option<u64> {
    let ticks = linux::since_boot().as_nanos() * i128::from(ticks_per_second()) / 1_000_000_000;
    u64::try_from(ticks).ok()
}

pub(super) fn ticks_per_second() -> u64 {
    clock_ticks_per_second().max(1)
}

/// Returns the name of the container that a process is in, such as `docker-3fa9c2e81b07`, by its
/// control group.
pub(crate) fn container(pid: i32) -> Option<String> {
    cgroup::container(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}
