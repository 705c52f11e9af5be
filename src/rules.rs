//! The rules by which sessions are shared, as a program has set them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::sys::{Device, filesystem};

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When it survives the loss of power: the file is synced, and its directory where that is needed.
    #[default]
    Sync,
    /// When the kernel has it: it survives the death of every process, but not the loss of power.
    Buffered,
}

/// What was set in the builder.
pub(crate) struct Rules {
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) max_hold: Duration,
    pub(crate) malformed_grace: Duration,
    pub(crate) too_old: Duration,
    pub(crate) durability: Durability,
    pub(crate) on_long_hold: Option<Arc<LongHoldFn>>,
    /// Use only what every Unix has.
    pub(crate) portable: bool,
    /// Take every filesystem for one that hosts share.
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
            on_long_hold: None,
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
    pub(crate) fn deadline(&self) -> Option<Instant> {
        deadline_after(self.acquire_timeout)
    }

    /// Whether marks can be used on this device.
    pub(crate) fn marks(&self, device: Device) -> bool {
        !self.portable && !self.shared && filesystem::marks_usable(device)
    }

    /// Whether other hosts may share this device.
    pub(crate) fn remote(&self, device: Device) -> bool {
        self.shared || filesystem::is_remote(device)
    }
}

/// No limit, or one that no clock reaches: no deadline.
pub(crate) fn deadline_after(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

/// A turn that has lasted longer than [`SessionsBuilder::max_hold`](crate::SessionsBuilder::max_hold).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LongHold {
    /// The session file.
    pub session: PathBuf,
    /// The turn's identity.
    pub owner: Uuid,
    /// What the holder says it is doing.
    pub label: Option<String>,
    /// For how long it has been held.
    pub held: Duration,
}
