//! The rules by which sessions are shared, as set by the program.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::sys::{Dir, Users, filesystem};

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When it survives the loss of power. The file is synced, and its directory if needed.
    #[default]
    Sync,
    /// When the kernel has it. It survives the death of every process, but not the loss of power.
    Buffered,
}

/// What was set in the [`SessionsBuilder`](crate::SessionsBuilder).
pub(crate) struct Rules {
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) max_hold: Duration,
    pub(crate) malformed_grace: Duration,
    pub(crate) too_old: Duration,
    pub(crate) durability: Durability,
    /// Who may use session files that are created.
    pub(crate) users: Users,
    /// All that use the sessions are in our PID namespace, or in one that can be seen from it.
    pub(crate) assume_local: bool,
    pub(crate) on_long_hold: Option<Arc<LongHoldFn>>,
    /// Before a repair, look whether other programs have the session open for writing.
    pub(crate) looks_for_writers: bool,
    /// Use only what every Unix has.
    pub(crate) portable: bool,
    /// Treat every filesystem as one that several hosts share.
    pub(crate) shared: bool,
}

type LongHoldFn = dyn Fn(&LongHold) + Send + Sync;

impl Default for Rules {
    fn default() -> Self {
        Self {
            acquire_timeout: Some(Duration::from_secs(10)),
            max_hold: Duration::from_secs(5 * 60),
            malformed_grace: Duration::from_secs(30),
            too_old: Duration::from_secs(30 * 60),
            durability: Durability::default(),
            users: Users::default(),
            assume_local: false,
            on_long_hold: None,
            looks_for_writers: true,
            portable: false,
            shared: false,
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("acquire_timeout", &self.acquire_timeout)
            .field("max_hold", &self.max_hold)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Rules {
    /// The limit of an operation that begins now.
    pub(crate) fn wait_limit(&self) -> WaitLimit {
        WaitLimit::after(self.acquire_timeout)
    }

    /// Whether marks can be used on the lock files of this directory.
    pub(crate) fn marks(&self, dir: &Dir) -> bool {
        !self.portable && !self.shared && filesystem::marks_usable(dir)
    }

    /// Whether no server and no daemon delays calls in this directory.
    pub(crate) fn is_local(&self, dir: &Dir) -> bool {
        !self.shared && filesystem::is_local(dir)
    }

    /// Whether a server keeps the files and the locks of this directory, for several hosts.
    pub(crate) fn is_served(&self, dir: &Dir) -> bool {
        !self.shared && filesystem::is_served(dir)
    }

    /// Whether other hosts may share this directory.
    pub(crate) fn remote(&self, dir: &Dir) -> bool {
        self.shared || filesystem::is_remote(dir)
    }
}

/// How long an operation may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitLimit {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
}

impl WaitLimit {
    /// The limit of an operation that begins now. Without a timeout there is none.
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self { timeout, deadline: deadline_after(timeout) }
    }

    pub(crate) fn deadline(self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn has_passed(self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// How much of the time is left, if there is a deadline.
    pub(crate) fn remaining(self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The whole time, for the message that it has passed.
    pub(crate) fn timeout(self) -> Duration {
        self.timeout.unwrap_or_default()
    }
}

/// The time at which `timeout` ends. `None` without a timeout, or with one that no clock reaches.
pub(crate) fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// A turn that has been held longer than
/// [`SessionsBuilder::max_hold`](crate::SessionsBuilder::max_hold).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LongHold {
    /// The session file.
    pub session: PathBuf,
    /// The identity of the hold: [`Turn::owner`](crate::Turn::owner).
    pub owner: Uuid,
    /// What the holder says it is doing.
    pub label: Option<String>,
    /// How long it has been held.
    pub held: Duration,
}
