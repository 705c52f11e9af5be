//! Who holds a session, for messages and reports.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use super::iso;

/// Who holds a session, by the lock file's record and the kernel's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Holder {
    /// Process id, in the holder's own PID namespace.
    pub pid: Option<i64>,
    /// Whether the holder lives: by the kernel's lock, or, for a foreign owner, by its process. An
    /// owner that cannot be seen counts as alive.
    pub alive: bool,
    /// The identity of the hold; `None` for a foreign owner.
    pub owner: Option<Uuid>,
    /// The holder's host name.
    pub host: Option<String>,
    /// What the holder says it is doing, without control characters.
    pub label: Option<String>,
    /// When the hold began.
    #[serde(serialize_with = "iso_time")]
    pub since: Option<SystemTime>,
    /// Whether it is a program that does not use this protocol.
    pub foreign: bool,
    /// The process id here of a foreign owner that was found in another PID namespace than ours.
    pub host_pid: Option<i64>,
    /// The container of that process, such as `docker-3fa9c2e81b07`, if its control group tells.
    pub container: Option<String>,
    /// Whether it is a foreign owner that may live in a PID namespace that cannot be seen from
    /// here.
    pub unseen: bool,
    /// Whether its record was written on this machine since it was booted. A foreign record does
    /// not tell.
    #[serde(skip)]
    pub this_machine: bool,
    /// Whether its process is known to have ended, while what it started keeps the lock.
    pub ended: bool,
    /// Whether it is this process.
    pub this_process: bool,
    /// Why no more is known of it: the lock file is closed to this process, the session is held
    /// under another name, or it is on another host, and its filesystem does not tell whether it
    /// lives. It is taken for alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<String>,
}

impl Holder {
    /// Whoever holds a lock file of this user, which this process may not open.
    pub(crate) fn behind_closed_file(user: impl fmt::Display) -> Self {
        Self::hidden(format!(
            "owned by {user}: this process may not open it; \
             remove it if none of that user's processes holds it"
        ))
    }

    /// Whoever holds the session under another name.
    pub(crate) fn under_another_name() -> Self {
        Self::hidden("held under another name of the session file, a hard link".into())
    }

    /// It is taken for alive (I13).
    fn hidden(why: String) -> Self {
        Self {
            pid: None,
            alive: true,
            owner: None,
            host: None,
            label: None,
            since: None,
            foreign: false,
            host_pid: None,
            container: None,
            unseen: false,
            this_machine: false,
            ended: false,
            this_process: false,
            hidden: Some(why),
        }
    }

    /// How long ago the hold began, by the wall clock; zero if that is in the future.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.since.map(|since| SystemTime::now().duration_since(since).unwrap_or_default())
    }
}

fn iso_time<S: serde::Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    time.map(|t| iso(t).unwrap_or_default()).serialize(serializer)
}
