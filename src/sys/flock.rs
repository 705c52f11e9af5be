//! The kernel's lock on a whole file, through `fs4`. Interrupted calls are repeated, and a lock is
//! always let go explicitly.

#[cfg(feature = "gateway")]
mod sharers;

use std::fs::File;
use std::io;

use fs4::{FileExt, TryLockError};

use super::file::FileId;

#[cfg(feature = "gateway")]
pub(crate) use sharers::{is_sharer, sharers};

/// Takes the lock if it is free.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    loop {
        match FileExt::try_lock(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// Waits in the kernel for as long as it takes. Only for threads that exist to wait.
pub(crate) fn wait(file: &File) -> io::Result<()> {
    loop {
        match FileExt::lock(file) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Lets go at once, even if a child between fork and exec still has a copy of the descriptor (I14).
pub(crate) fn unlock(file: &File) {
    // Nothing can be done about a failure, and closing the descriptor lets go as well.
    let _ = FileExt::unlock(file);
}

/// The process that has the lock exclusively, where the system tells.
pub(crate) fn holder_of(file: FileId) -> Option<u32> {
    let file = file.in_proc_locks();
    // The list comes page by page, and entries are skipped while others lock and unlock.
    (0..5).find_map(|_| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| writer_of(line, &file))
    })
}

/// Who has the `flock` on this file, if a line of `/proc/locks` says so.
fn writer_of(line: &str, file: &str) -> Option<u32> {
    let fields: Vec<_> = line.split_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, "WRITE", pid, named, ..] if named == file => pid.parse().ok(),
        _ => None,
    }
}
