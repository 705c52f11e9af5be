//! The ways in which a turn is lost.

use std::fmt;

use serde::Serialize;

/// How a turn was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LostCause {
    /// The lock file is gone: it was revoked, or removed by hand.
    Removed,
    /// Another lock file has its path.
    Replaced,
    /// The directory was moved away, or its path names another directory.
    Moved,
    /// The lock file's record names another owner.
    TakenOver,
    /// The server has given up the lock: this machine was cut off from it, or stopped, for longer
    /// than the server's lease.
    Expired,
    /// The holder has released, or is dead, and nobody has taken over yet.
    HolderGone,
    /// The session file has another name (a hard link), and is held under that.
    OtherName,
    /// This turn was already released.
    Closed,
    /// The process that acquired the turn forked, and this is the child.
    Forked,
}

impl LostCause {
    /// A name that stays the same in all versions: kebab-case, as in `taken-over`. It is
    /// also how this is serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Moved => "moved",
            Self::TakenOver => "taken-over",
            Self::Expired => "expired",
            Self::HolderGone => "holder-gone",
            Self::OtherName => "other-name",
            Self::Closed => "closed",
            Self::Forked => "forked",
        }
    }
}

impl fmt::Display for LostCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "the lock file is gone: the turn was revoked, or the file removed",
            Self::Replaced => "another lock file stands in its place",
            Self::Moved => "its directory is not where it was",
            Self::TakenOver => "another owner has taken over",
            Self::Expired => {
                "the server has given it up: this machine was cut off or stopped for longer than \
                 the server's lease"
            }
            Self::HolderGone => "the holder has released it",
            Self::OtherName => "the session is held under another name of its file (a hard link)",
            Self::Closed => "the turn was released",
            Self::Forked => "this process is a fork of the holder",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_is_serialised() {
        for value in [
            LostCause::Removed,
            LostCause::Replaced,
            LostCause::Moved,
            LostCause::TakenOver,
            LostCause::Expired,
            LostCause::HolderGone,
            LostCause::OtherName,
            LostCause::Closed,
            LostCause::Forked,
        ] {
            assert_eq!(serde_json::to_value(value).unwrap(), value.as_str());
        }
    }
}
