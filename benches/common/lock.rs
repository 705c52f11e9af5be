//! What is compared under contention: ways to have a session to oneself.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use turnlock::Sessions;

use super::{buffered, floor};

/// A lock, waited for by a thread.
pub trait Lock {
    /// Acquires, does what is to be done as the holder, and releases.
    fn turn(&mut self, held: &mut dyn FnMut());
}

/// Makes the lock of this name for a session.
pub type Named = fn(&str, &Path) -> Option<Box<dyn Lock>>;

pub const OURS: &str = "turnlock";
pub const FLOOR: &str = "flock, kept file";

/// Ours and the floor.
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

/// Blocking `flock` on a file that stays, with the record written at each turn.
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
