//! Locks of programs that know nothing of ours.

use std::fs::File;
use std::path::Path;
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
