//! The wait for a lock file in the kernel. Only for threads that exist to wait.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::{Opened, marks, open};
use crate::error::Result;
use crate::place::Place;
use crate::sys::{FileId, flock};

/// How long a woken waiter of another process may take to come to the lock; it may be stopped too.
const PATIENCE: Duration = Duration::from_millis(2);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_micros(20);

/// What there is to wait for.
pub(crate) enum ToWaitFor {
    Lock(Waiting),
    /// No lock file.
    Nothing,
    /// Another user's lock file, that we may not open.
    Denied,
}

/// A lock file, open to wait for its `flock`, or with the `flock` granted.
pub(crate) struct Waiting {
    pub(super) file: File,
    pub(super) id: FileId,
}

/// Opens the lock file to wait for it.
pub(crate) fn open_to_wait(place: &Place) -> Result<ToWaitFor> {
    Ok(match open(place)? {
        Opened::File(file, stat) => ToWaitFor::Lock(Waiting { file, id: stat.id }),
        Opened::None => ToWaitFor::Nothing,
        Opened::Denied => ToWaitFor::Denied,
    })
}

impl Waiting {
    /// Which file is waited for.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Queues behind the waiters of other processes (I8): waits until one of them has come to the
    /// lock. The kernel has woken the first of them, but whoever runs already is faster.
    pub(crate) fn let_others_go_first(&self) {
        // Two that let each other go first do not wait for each other.
        marks::let_others_go_first(&self.file);
        let until = Instant::now() + PATIENCE;
        while marks::somebody_is_next(&self.file)
            && !marks::somebody_holds(&self.file)
            && Instant::now() < until
        {
            std::thread::sleep(LOOK);
        }
    }

    /// Says that somebody waits. To be followed by [`wait`](Self::wait).
    pub(crate) fn announce(&self) {
        marks::wait(&self.file);
    }

    /// Waits in the kernel for as long as it takes.
    pub(crate) fn wait(&self) -> io::Result<()> {
        flock::wait(&self.file)
    }

    /// Says that the wait is over.
    pub(crate) fn end(&self) {
        marks::end_wait(&self.file);
    }

    /// Lets go of what was granted.
    pub(crate) fn let_go(self) {
        flock::unlock(&self.file);
    }
}
