//! The locks that are compared under contention.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use turnlock::Sessions;

use super::{buffered, floor};

/// A lock on one session. Its methods block.
pub trait Lock {
    /// Acquires the lock, calls `held`, and releases the lock.
    fn turn(&mut self, held: &mut dyn FnMut());
}

/// Creates the lock of this name for a session. `None` if there is no such lock.
pub type Named = fn(&str, &Path) -> Option<Box<dyn Lock>>;

pub const OURS: &str = "turnlock";
pub const FLOOR: &str = "flock, kept file";

/// turnlock and the floor.
pub fn named(name: &str, session: &Path) -> Option<Box<dyn Lock>> {
    match name {
        OURS => Some(Box::new(Ours { sessions: buffered(), session: session.to_owned() })),
        FLOOR => Some(Box::new(KeptFile { file: floor::open(session, OFlags::RDWR) })),
        _ => None,
    }
}

struct Ours {
    sessions: Sessions,
    session: PathBuf,
}

impl Lock for Ours {
    fn turn(&mut self, held: &mut dyn FnMut()) {
        let turn = self.sessions.turn(&self.session).acquire_blocking().unwrap();
        held();
        turn.release_blocking().unwrap();
    }
}

/// A blocking `flock` on a file that is never removed. Each turn writes the record.
struct KeptFile {
    file: OwnedFd,
}

impl Lock for KeptFile {
    fn turn(&mut self, held: &mut dyn FnMut()) {
        floor::lock(&self.file);
        rustix::io::pwrite(&self.file, &floor::RECORD, 0).unwrap();
        held();
        floor::unlock(&self.file);
    }
}
