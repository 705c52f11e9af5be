//! How long a process may keep a session for its own tasks while others wait (I8).

use std::time::{Duration, Instant};

use uuid::Uuid;

/// The longest time that a run may last.
const RUN: Duration = Duration::from_millis(1);
/// The largest number of turns in a run.
const RUN_TURNS: u32 = 128;

/// Consecutive turns of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    began: Instant,
    /// How many turns followed the first.
    turns: u32,
    /// The owner of the latest turn.
    owner: Uuid,
}

impl Run {
    /// The run that begins with the turn of `owner`.
    pub(super) fn new(owner: Uuid) -> Self {
        Self { began: Instant::now(), turns: 0, owner }
    }

    /// The run with one more turn, which `owner` has.
    pub(super) fn next(self, owner: Uuid) -> Self {
        Self { turns: self.turns + 1, owner, ..self }
    }

    /// Whether `predecessor`, the owner whose lock is taken over, had the run's latest turn. Then
    /// nobody else had the session since.
    pub(super) fn ended_with(self, predecessor: Option<Uuid>) -> bool {
        predecessor == Some(self.owner)
    }

    /// When the run ends at the latest. `None` if it is over, or if it has had one turn only: a
    /// process that has come back once is likely to come again.
    pub(super) fn end(self) -> Option<Instant> {
        (self.turns > 0 && !self.is_over()).then(|| self.began + RUN)
    }

    pub(super) fn is_over(self) -> bool {
        self.turns >= RUN_TURNS || self.began.elapsed() >= RUN
    }
}
