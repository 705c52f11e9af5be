//! What an actor is asked to do, and what it answers, through a pipe or in a call.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    pub session: PathBuf,
    pub what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum What {
    /// One try.
    Try,
    /// Wait for the turn, this many milliseconds at most.
    Acquire(u64),
    /// Begin to wait, and go on with other things.
    Wait,
    /// The turn that was waited for, which must come.
    Joined,
    /// Give up waiting.
    Cancel,
    /// These lines, at once.
    Append(Vec<u64>),
    Post(u64),
    /// A line that tells where it was made to stand: see [`made`].
    AppendMade(u64),
    PostMade(u64),
    Release,
    Drop,
    Lost,
    Read,
    Rewrite(Vec<u64>),
    /// Notes how far the session can be read now, without a lock.
    Note,
    /// Replaces what lies before that by these lines.
    RewriteFrom(Vec<u64>),
    /// Removes the session, or gives it this name, and begins it anew with this line.
    Renew(Option<PathBuf>, u64),
    Repair,
    Restore,
    Revoke(Uuid),
    Status,
    Sweep,
    RemoveLeftover(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Ready,
    Held(Uuid),
    /// Somebody else has it.
    Busy,
    Done,
    Appended {
        offset: u64,
        intervening: u64,
        sealed: bool,
    },
    Lost(String),
    NotLost,
    /// The whole lines, one behind the other.
    Lines(Vec<u8>),
    Rewritten {
        bytes: u64,
        carried: u64,
    },
    /// Whether there was anything to repair.
    Repaired(bool),
    /// The state of the session's lock, and the living holder.
    Status(Option<String>, Option<Uuid>),
    /// Whether something was removed.
    Removed(bool),
    /// Code of an error, and its text.
    Failed(String, String),
}

/// A line as it stands in a session.
pub fn line(number: u64) -> serde_json::Value {
    serde_json::json!({ "n": number })
}

/// A line that is made under the data lock, where the session ends at `end`.
pub fn made(number: u64, end: u64) -> serde_json::Value {
    serde_json::json!({ "end": end, "n": number })
}
