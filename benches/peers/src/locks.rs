//! The peers that are Rust libraries.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::lock::{self, Lock};

pub const RUST: [&str; 3] = ["fd-lock", "named-lock", "gix-lock"];

/// Creates the lock of this name, for an actor of this program. `None` if there is no such lock.
pub fn named(name: &str, session: &Path) -> Option<Box<dyn Lock>> {
    match name {
        "fd-lock" => {
            let file = File::options().read(true).write(true).open(session).unwrap();
            Some(Box::new(FdLock(fd_lock::RwLock::new(file))))
        }
        "named-lock" => {
            let path = session.with_extension("named");
            Some(Box::new(Named(named_lock::NamedLock::with_path(path).unwrap())))
        }
        "gix-lock" => Some(Box::new(GixLock(session.to_owned()))),
        _ => lock::named(name, session),
    }
}

/// A blocking `flock` on the session file.
struct FdLock(fd_lock::RwLock<File>);

impl Lock for FdLock {
    fn turn(&mut self, held: &mut dyn FnMut()) {
        let _guard = self.0.write().unwrap();
        held();
    }
}

/// A blocking `flock` on a file beside the session.
struct Named(named_lock::NamedLock);

impl Lock for Named {
    fn turn(&mut self, held: &mut dyn FnMut()) {
        let _guard = self.0.lock().unwrap();
        held();
    }
}

/// A file that exists while the lock is held. Waiters poll.
struct GixLock(PathBuf);

impl Lock for GixLock {
    fn turn(&mut self, held: &mut dyn FnMut()) {
        let fail = gix_lock::acquire::Fail::AfterDurationWithBackoff(Duration::from_secs(60));
        let _guard = gix_lock::Marker::acquire_to_hold_resource(&self.0, fail, None, 0).unwrap();
        held();
    }
}
