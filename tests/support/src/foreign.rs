//! Locks of programs that know nothing of ours.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// A process id that nobody has.
pub const NOBODY: u32 = 1 << 30;

/// A lock record as OpenClaw writes it.
pub fn foreign_record(pid: u32, start_time: Option<u64>) -> String {
    let now = jiff::Timestamp::now();
    match start_time {
        Some(start) => format!(
            "{{\n  \"pid\": {pid},\n  \"createdAt\": \"{now:.3}\",\n  \"starttime\": {start}\n}}\n"
        ),
        None => format!("{{\n  \"pid\": {pid},\n  \"createdAt\": \"{now:.3}\"\n}}\n"),
    }
}

/// Opens a file for appending and takes its `flock`, which falls when the file is dropped. The lock
/// belongs to this open file, so that to the library it is somebody else's.
pub fn flocked(path: &Path) -> File {
    let file = File::options().append(true).open(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}
