//! Locks of programs that know nothing of ours.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// A process id that nobody has.
pub const NOBODY: u32 = 1 << 30;

/// A lock record as OpenClaw writes it.
pub fn foreign_record(pid: u32, start_time: Option<u64>) -> String {
    foreign_record_of(pid, start_time, Duration::ZERO)
}

/// The same, made so long ago.
pub fn foreign_record_of(pid: u32, start_time: Option<u64>, age: Duration) -> String {
    let made = jiff::Timestamp::now().checked_sub(age).unwrap();
    match start_time {
        Some(start) => format!(
            "{{\n  \"pid\": {pid},\n  \"createdAt\": \"{made:.3}\",\n  \"starttime\": {start}\n}}\n"
        ),
        None => format!("{{\n  \"pid\": {pid},\n  \"createdAt\": \"{made:.3}\"\n}}\n"),
    }
}

/// Opens a file for appending and takes its `flock`, which falls when the file is dropped. The lock
/// belongs to this open file, so that to the library it is somebody else's.
pub fn flocked(path: &Path) -> File {
    let file = File::options().append(true).open(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

/// Opens a file for reading and takes a read lease on it, as Samba and the NFS server do for their
/// clients. It is given back when the file is dropped. Nobody may have it open for writing.
///
/// Whoever opens the file for writing then waits until the lease is given back, or is told `EAGAIN`
/// if he does not want to wait. This process is asked by a signal, which it ignores.
#[allow(unsafe_code, reason = "no crate has a wrapper; the call takes two numbers")]
pub fn leased(path: &Path) -> File {
    signal_hook::flag::register(signal_hook::consts::SIGIO, Arc::default()).unwrap();
    let file = File::open(path).unwrap();
    // SAFETY: the call reads two numbers, and changes nothing in this process.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    assert_eq!(done, 0, "{}: {}", path.display(), std::io::Error::last_os_error());
    file
}
