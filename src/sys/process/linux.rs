//! Facts from `/proc`. Read by hand, which is four times faster than through `sysinfo`, and tells
//! "hidden" from "gone".

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use rustix::param::clock_ticks_per_second;
use rustix::process::getpid;
use rustix::time::{ClockId, clock_gettime};

/// The fields of `/proc/<pid>/stat` that are needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// `R`, `S`, `T`, `Z`, …
    pub state: u8,
    /// The process id of the parent.
    pub parent: i32,
    /// Bits that describe it (`PF_…`).
    pub flags: u64,
    /// The number of threads left.
    pub threads: u64,
    /// Clock ticks from the start of the machine to the start of the process.
    pub start_time: u64,
}

impl Stat {
    /// The second field is the command's name in brackets. The name may itself contain spaces and
    /// brackets, so fields are counted from the *last* bracket.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let close = memchr::memrchr(b')', line)?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        // The first of these is field 3.
        let mut fields = rest.split_ascii_whitespace();
        Some(Self {
            state: *fields.next()?.as_bytes().first()?,
            parent: fields.next()?.parse().ok()?,
            flags: fields.nth(9 - 5)?.parse().ok()?,
            threads: fields.nth(20 - 10)?.parse().ok()?,
            start_time: fields.nth(22 - 21)?.parse().ok()?,
        })
    }

    /// Z means ended and not waited for; X means being removed. A process whose main thread ended
    /// before the others shows as Z too, and is alive.
    pub(super) fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }

    pub(super) fn is_kernel_thread(&self) -> bool {
        /// `PF_KTHREAD`.
        const KERNEL_THREAD: u64 = 0x20_0000;
        self.flags & KERNEL_THREAD != 0
    }
}

pub(super) fn is_zombie(pid: i32) -> bool {
    stat(pid).is_ok_and(|stat| stat.is_zombie())
}

#[cfg(feature = "gateway")]
pub(super) fn parent(pid: i32) -> Option<i32> {
    Some(stat(pid).ok()?.parent)
}

/// Its ids, from that in our PID namespace to that in its own.
#[cfg(feature = "gateway")]
pub(super) fn ids(pid: i32) -> Vec<i32> {
    if !proc_is_ours() {
        return Vec::new();
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    ids.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect()
}

pub(super) fn start_time(pid: i32) -> io::Result<u64> {
    let start_time = stat(pid)?.start_time;
    if is_of_our_time(pid) {
        return Ok(start_time);
    }
    let what = "its start time is told by another time namespace than the one it lives in";
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

pub(super) fn started_at(pid: i32) -> Option<Timestamp> {
    after_boot(stat(pid).ok()?.start_time)
}

/// Whether the process recorded the start time that we read. The kernel adds the *reader's* offset
/// to it, so a process in another time namespace has recorded another one.
fn is_of_our_time(pid: i32) -> bool {
    match (time_namespace(&pid.to_string()), time_namespace("self")) {
        (Ok(its), Ok(ours)) => its == ours,
        // Another user's namespace cannot be looked at, and old kernels have none.
        _ => true,
    }
}

pub(super) fn clock_unseen(pid: i32) -> bool {
    let unseen = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    time_namespace("self").is_ok() && time_namespace(&pid.to_string()).is_err_and(unseen)
}

fn time_namespace(process: &str) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/time"))
}

/// The moment `ticks` after boot.
///
/// It is counted back from now by the kernel's own clock. The `btime` line of `/proc/stat` has
/// whole seconds only, and lxcfs replaces it by the start of the container.
fn after_boot(ticks: u64) -> Option<Timestamp> {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(clock_ticks_per_second().max(1));
    let start = SignedDuration::from_nanos(i64::try_from(nanos).ok()?);
    // A /proc that tells of a start in the future is not to be believed.
    let age = since_boot().checked_sub(start).filter(|age| !age.is_negative())?;
    Timestamp::now().checked_sub(age).ok()
}

pub(super) fn boot_time() -> Option<Timestamp> {
    Timestamp::now().checked_sub(since_boot()).ok()
}

/// The time since boot. It includes the time that the machine slept, as start times of processes
/// do.
pub(super) fn since_boot() -> SignedDuration {
    let clock = clock_gettime(ClockId::Boottime);
    // Nanoseconds are below 10^9.
    SignedDuration::new(clock.tv_sec, i32::try_from(clock.tv_nsec).unwrap_or(0))
}

pub(super) fn command_line(pid: i32) -> Option<Vec<OsString>> {
    if !proc_is_ours() {
        return None;
    }
    let words = words(&fs::read(format!("/proc/{pid}/cmdline")).ok()?);
    // Others without words hide them, or have ended.
    let is_kernels = words.is_empty() && stat(pid).is_ok_and(|stat| stat.is_kernel_thread());
    Some(if is_kernels { vec![OsString::from("[kernel thread]")] } else { words })
}

/// Splits `/proc/<pid>/cmdline`. A program that overwrites its arguments with a title leaves zeros
/// behind the title, which would be empty words.
pub(super) fn words(line: &[u8]) -> Vec<OsString> {
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

pub(super) fn own_start_time() -> Option<u64> {
    // "self" is this process even where /proc belongs to another PID namespace.
    Some(Stat::parse(&fs::read("/proc/self/stat").ok()?)?.start_time)
}

pub(super) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

pub(super) fn pid_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

pub(super) fn stat(pid: i32) -> io::Result<Stat> {
    if !proc_is_ours() {
        let what = "/proc does not belong to this process's PID namespace";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let line = fs::read(format!("/proc/{pid}/stat"))?;
    Stat::parse(&line).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc/<pid>/stat")
    })
}

/// Whether the numbers in `/proc` are those of our PID namespace.
///
/// After `unshare --pid` without a new mount of `/proc` they are those of the outer namespace:
/// other processes than `kill` reaches by the same ids.
pub(crate) fn proc_is_ours() -> bool {
    fs::read_link("/proc/self")
        .is_ok_and(|target| target.as_os_str() == getpid().as_raw_nonzero().to_string().as_str())
}
