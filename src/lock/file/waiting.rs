//! The wait for a lock file in the kernel. Only for threads that exist to wait.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Opened, marks, open};
use crate::error::{Context, Result};
use crate::place::Place;
use crate::sys::{Pinned, filesystem, flock};

/// How long others are let go first (I8). The waiter that was woken may be stopped.
const PATIENCE: Duration = Duration::from_millis(2);
/// The pause between two looks for it.
const PAUSE: Duration = Duration::from_micros(20);

/// What there is to wait for.
pub(crate) enum ToWaitFor {
    Lock(Waiting),
    /// There is no lock file.
    Nothing,
    /// A lock file that this process may not open now: it is another user's, or somebody has a
    /// lease on it.
    Denied,
}

/// A lock file that is open for a wait for its `flock`, or whose `flock` was granted.
pub(crate) struct Waiting {
    pub(super) file: Arc<Pinned>,
    /// Whether it can be marked. A mark on a server's filesystem would be a lock on a part of the
    /// file, and so in the way of the `flock`.
    marks: bool,
}

/// Opens the lock file to wait for it.
pub(crate) fn open_to_wait(place: &Place) -> Result<ToWaitFor> {
    Ok(match open(place)? {
        Opened::File(file, _) => {
            let marks = filesystem::marks_usable(place.dir());
            ToWaitFor::Lock(Waiting { file: Arc::new(file), marks })
        }
        Opened::None => ToWaitFor::Nothing,
        Opened::Denied(_) => ToWaitFor::Denied,
    })
}

impl Waiting {
    /// The file that is waited for. It is open as long as this is.
    pub(crate) fn pinned(&self) -> &Arc<Pinned> {
        &self.file
    }

    fn file(&self) -> &File {
        self.file.file()
    }

    /// Queues behind the waiters of other processes (I8): waits until one of them has reached the
    /// lock. The kernel has woken the first of them, but a thread that already runs is faster.
    pub(crate) fn let_others_go_first(&self) {
        if !self.marks {
            return;
        }
        // The mark by which two such processes do not wait for each other.
        marks::let_others_go_first(self.file());
        let until = Instant::now() + PATIENCE;
        while marks::somebody_is_next(self.file())
            && !marks::somebody_holds(self.file())
            && Instant::now() < until
        {
            std::thread::sleep(PAUSE);
        }
    }

    /// Marks the file: somebody waits. Followed by [`wait`](Self::wait).
    pub(crate) fn announce(&self) {
        if self.marks {
            marks::wait(self.file());
        }
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_lock(&self, place: &Place) -> Result<bool> {
        flock::try_lock(self.file()).context("lock", place.lock())
    }

    /// Waits in the kernel for as long as it takes.
    pub(crate) fn wait(&self) -> io::Result<()> {
        flock::wait(self.file())
    }

    /// Takes the mark back: the wait is over.
    pub(crate) fn end(&self) {
        if self.marks {
            marks::end_wait(self.file());
        }
    }

    /// Lets go of the lock that was granted.
    pub(crate) fn let_go(self) {
        flock::unlock(self.file());
    }
}
