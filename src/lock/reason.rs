//! The reasons for which a lock is stale.

use std::fmt;

use serde::{Serialize, Serializer};

/// Why a lock is stale, or what is remarkable about one that is held.
///
/// The first seven have OpenClaw's own names, which its users know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The record names no process, or none that can exist.
    MissingPid,
    /// The recorded process has ended.
    DeadPid,
    /// The recorded process has ended, and another one has its id now.
    RecycledPid,
    /// The record does not say when it was made, or its date cannot be read. Reported only: this
    /// alone frees no lock.
    InvalidCreatedAt,
    /// The lock has been held for very long. Reported only: age alone frees no lock.
    TooOld,
    /// The record names the process that is looking at it, which holds no such lock. An earlier
    /// process with the same id left it, as in a container that was restarted.
    OrphanSelfPid,
    /// The recorded process is none of the programs that write such records, so its id must have
    /// been reused.
    NonOpenclawOwner,
    /// The file does not contain an owner record.
    Malformed,
    /// The file is empty.
    Empty,
    /// The record is turnlock's, and nobody has the kernel's lock.
    DeadOwner,
    /// The record is turnlock's, from before this machine was booted.
    OtherBoot,
    /// The recorded process is not in our PID namespace, and may be in one that cannot be seen from
    /// here. A reason to leave the lock alone.
    UnseenNamespace,
}

impl Reason {
    /// Its name in reports and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingPid => "missing-pid",
            Self::DeadPid => "dead-pid",
            Self::RecycledPid => "recycled-pid",
            Self::InvalidCreatedAt => "invalid-createdAt",
            Self::TooOld => "too-old",
            Self::OrphanSelfPid => "orphan-self-pid",
            Self::NonOpenclawOwner => "non-openclaw-owner",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::DeadOwner => "dead-owner",
            Self::OtherBoot => "other-boot",
            Self::UnseenNamespace => "unseen-namespace",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
