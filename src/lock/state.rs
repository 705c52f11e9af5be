//! The states of a lock.

use serde::Serialize;

/// The state of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LockState {
    /// A living holder of this protocol.
    Held,
    /// A living program that does not use this protocol.
    Foreign,
    /// Nobody holds it; the next acquirer takes it over.
    Stale,
    /// Empty or half written, and still fresh: a foreign program may be writing it.
    Fresh,
    /// The record is of another host or boot, on a network filesystem.
    Remote,
    /// A program that does not use this protocol and may live in another container, whose processes
    /// cannot be seen from here.
    Unseen,
    /// It could not be looked at.
    Unreadable,
}

impl LockState {
    /// Its name in reports and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Foreign => "foreign",
            Self::Stale => "stale",
            Self::Fresh => "fresh",
            Self::Remote => "remote",
            Self::Unseen => "unseen",
            Self::Unreadable => "unreadable",
        }
    }
}
