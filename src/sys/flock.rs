//! The kernel's lock on a whole file, through `fs4`. Interrupted calls are repeated, and a lock is
//! always unlocked explicitly.

#[cfg_attr(target_os = "linux", path = "flock/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "flock/portable.rs")]
mod system;

use std::fs::File;
use std::io;
use std::time::Duration;

use fs4::{FileExt, TryLockError};

use super::errors::is_suspected_deadlock;
use super::file::{FileId, Stat};

/// How long a wait that a server took for a deadlock is put off.
const AFTER_SUSPICION: Duration = Duration::from_millis(5);

/// Takes the lock if it is free, and says whether it did. Never waits.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    loop {
        match FileExt::try_lock(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => {}
            // Somebody has it, or the server would have had no suspicion.
            Err(TryLockError::Error(e)) if is_suspected_deadlock(&e) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// Whether nobody has the lock. It is had for a moment for that, shared. If that fails, somebody
/// has it, as far as is known.
pub(crate) fn is_free(file: &File) -> bool {
    let is_free = FileExt::try_lock_shared(file).is_ok();
    if is_free {
        unlock(file);
    }
    is_free
}

/// Takes the lock, and blocks in the kernel for as long as that takes. Only for waiting threads.
pub(crate) fn wait(file: &File) -> io::Result<()> {
    loop {
        match FileExt::lock(file) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if is_suspected_deadlock(&e) => std::thread::sleep(AFTER_SUSPICION),
            done => return done,
        }
    }
}

/// Unlocks at once, even if a child between fork and exec still has a copy of the descriptor (I14).
pub(crate) fn unlock(file: &File) {
    // Nothing can be done about a failure, and closing the descriptor unlocks as well.
    let _ = FileExt::unlock(file);
}

/// A process that keeps others from a lock, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocker {
    pub(crate) pid: u32,
    pub(crate) by: BlockedBy,
}

/// By what a process keeps others from the lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockedBy {
    /// It has the lock.
    Lock,
    /// It has the lock shared, which takes no more than the right to read the file.
    SharedLock,
    /// It has a lease on the file, so that the file cannot even be opened.
    Lease,
}

/// Returns a process that keeps others from the lock on a file, where the system tells. For
/// messages: the system names the file by its number.
pub(crate) fn blocker_of(file: &Stat) -> Option<Blocker> {
    system::blocker_of(file.id)
}
