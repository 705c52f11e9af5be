//! How long a process may keep a session for itself while others wait (I8).

use std::time::{Duration, Instant};

use uuid::Uuid;

/// While other processes wait, a process keeps a session for its own tasks only this long …
const RUN: Duration = Duration::from_millis(1);
/// … and for at most so many turns.
const RUN_LENGTH: u32 = 128;

/// Turns in a row inside this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    began: Instant,
    length: u32,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), length: 0 }
    }

    /// With one turn more.
    pub(crate) fn next(self) -> Self {
        Self { length: self.length + 1, ..self }
    }

    /// When it ends at the latest, if it is a run: a process that came back once is likely to come again.
    pub(crate) fn end(self) -> Option<Instant> {
        (self.length > 0 && !self.is_over()).then(|| self.began + RUN)
    }

    pub(crate) fn is_over(self) -> bool {
        self.length >= RUN_LENGTH || self.began.elapsed() >= RUN
    }
}

/// A run that ended in letting the lock go to others, who may not have come to it yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    /// Who left it.
    pub(crate) owner: Uuid,
    pub(crate) run: Run,
}

impl Left {
    /// The run of a turn that begins now: it goes on if nobody else had the session in between.
    pub(crate) fn continued(self, predecessor: Option<Uuid>) -> Option<Run> {
        (predecessor == Some(self.owner)).then(|| self.run.next())
    }
}
