//! The kernel's lock, through `fs4`: with interrupted calls repeated, and an explicit unlock.

use std::fs::File;
use std::io;

use fs4::{FileExt, TryLockError};

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

/// Waits in the kernel for as long as it takes. Only for threads that are there to wait.
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
