//! What can go wrong, one variant per cause: each names the path, the holder if there is one, and the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use crate::transcript::read::ReadError;
use crate::transcript::restore::RestoreError;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The session stayed busy until the deadline. Nothing was written; try again later.
    #[error(
        "session file locked (timeout {}ms): {} {}{}; wait longer, or see `turnlock status` and `turnlock revoke`",
        waited.as_millis(), HolderFacts(holder.as_deref()), lock.display(), HolderStory(holder.as_deref())
    )]
    Timeout {
        /// The lock file.
        lock: PathBuf,
        /// How long this acquire was allowed to wait.
        waited: Duration,
        /// Who holds it, as far as can be told.
        holder: Option<Box<Holder>>,
    },

    /// The session file's data lock stayed busy until the deadline: another process is inside an append, perhaps stopped there.
    /// Nothing was written.
    #[error(
        "session file busy: {} is inside an append{} (waited {}ms); if that process is stopped, continue or end it",
        session.display(), ByPid(*pid), waited.as_millis()
    )]
    DataLockBusy {
        /// The session file.
        session: PathBuf,
        /// The process inside the append, where the system tells.
        pid: Option<u32>,
        /// How long this operation was allowed to wait.
        waited: Duration,
    },

    /// The turn is not this holder's any more. Nothing was written; acquire again and read what the others wrote.
    #[error("lock lost: {cause} ({}); nothing was written: acquire again, and read the session anew", lock.display())]
    LockLost {
        /// The lock file.
        lock: PathBuf,
        /// How it was lost.
        cause: LostCause,
    },

    /// The record names an owner on another machine, or of another boot, on a network filesystem; it is not reclaimed on suspicion.
    #[error(
        "locked from another host: {}{}; if that host is gone, remove the lock with `turnlock revoke`",
        lock.display(), HolderStory(Some(holder))
    )]
    RemoteOwner {
        /// The lock file.
        lock: PathBuf,
        /// Who is named in it.
        holder: Box<Holder>,
    },

    /// The filesystem does not keep kernel locks, so that nothing here could be promised.
    #[error("{}: its filesystem does not keep locks: {reason}; move the sessions to a filesystem that does, or mount it so", dir.display())]
    LocksNotKept {
        /// The directory.
        dir: PathBuf,
        /// Which mount, and why.
        reason: String,
    },

    /// The path cannot be a session file.
    #[error("not a session file: {}: {reason}", path.display())]
    NotASession {
        /// The path.
        path: PathBuf,
        /// Why, and what would be right.
        reason: &'static str,
    },

    /// What stands at the lock path is not a lock file (a directory, a link, a device). It is left alone.
    #[error("not a lock file: {}: {reason}; move it away", path.display())]
    NotALockFile {
        /// The lock path.
        path: PathBuf,
        /// What it is instead.
        reason: &'static str,
    },

    /// The session file does not exist, and the operation does not create one.
    #[error("no such session: {}; check the name", path.display())]
    NoSession {
        /// The session file.
        path: PathBuf,
    },

    /// A value that cannot be one line of JSON. Nothing was written.
    #[error("line {line} is not JSON: {reason}; nothing was written")]
    BadLine {
        /// Which of the lines given, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },

    /// Another program took the lock, or put a new file at the session's path, while this was being written. The line is in the
    /// session, or it is not; it is not acknowledged.
    #[error("{}: another program came between while this was written; read it again to see whether it is there", session.display())]
    Overtaken {
        /// The session file.
        session: PathBuf,
    },

    /// An earlier sync of this turn failed, so that it takes no more appends: what the disk holds is not known.
    #[error("{}: an earlier sync failed ({reason}); release the turn, check the disk, and acquire again", session.display())]
    SyncFailed {
        /// The session file.
        session: PathBuf,
        /// The first failure.
        reason: String,
    },

    /// A rewrite, a repair or its undoing has put the new file in place, but the directory could not be synced.
    #[error("{}: the new file is in place, but its directory could not be synced ({source}); a loss of power may bring the old one back: \
             do it again once the disk is in order", session.display())]
    Unsynced {
        /// The session file.
        session: PathBuf,
        /// Why the sync failed.
        source: io::Error,
    },

    /// A repair in this turn has moved lines that the turn has not read; a rewrite could lose them.
    #[error("{}: it was repaired while it held lines that this turn has not read; read it again before it is rewritten", session.display())]
    ReadFirst {
        /// The session file.
        session: PathBuf,
    },

    /// A repair cannot be taken back. The session is as it was.
    #[error("{}: {source}", session.display())]
    Restore {
        /// The session file.
        session: PathBuf,
        /// Why.
        source: Box<RestoreError>,
    },

    /// A revoke named an owner who does not hold the session.
    #[error("{}: not held by {named}, but by {}; nothing was revoked", lock.display(), Whom(holder.as_deref()))]
    NotTheHolder {
        /// The lock file.
        lock: PathBuf,
        /// Who was named.
        named: String,
        /// Who holds it instead, if anybody.
        holder: Option<Box<Holder>>,
    },

    /// A revoke met a living owner that does not speak this protocol: its writes could not be refused.
    #[error(
        "{}: held by a living program without a fence{}; end that process instead: its lock is then taken over by itself",
        lock.display(), HolderStory(Some(holder))
    )]
    ForeignHolder {
        /// The lock file.
        lock: PathBuf,
        /// The owner.
        holder: Box<Holder>,
    },

    /// A setting is out of range.
    #[error("bad setting {name}: {reason}")]
    Config {
        /// The setting's name.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The runtime is shutting down, or an async function was called outside one.
    #[error(
        "no tokio runtime to work on ({reason}); call the `_blocking` twin, or keep the runtime alive"
    )]
    Runtime {
        /// What happened.
        reason: String,
    },

    /// A gateway may not start, or may not be ended.
    #[cfg(feature = "gateway")]
    #[error(transparent)]
    Gateway(#[from] crate::gateway::Refused),

    /// A system call failed.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// How a turn was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LostCause {
    /// The lock file is gone: revoked, or removed by somebody.
    Removed,
    /// Another lock file stands in its place.
    Replaced,
    /// The lock file bears another owner.
    TakenOver,
    /// The holder let go of it, or is dead, and nobody has taken over yet.
    HolderGone,
    /// This turn was released already.
    Closed,
    /// The process that acquired the turn forked, and this is the child.
    Forked,
}

impl fmt::Display for LostCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "the lock file is gone, the turn was revoked",
            Self::Replaced => "another lock file stands in its place",
            Self::TakenOver => "another owner has taken over",
            Self::HolderGone => "the holder has let go of it",
            Self::Closed => "the turn was released",
            Self::Forked => "this process is a fork of the holder",
        })
    }
}

/// Who holds a session, as told by the lock file's record and the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Holder {
    /// Process id, in the holder's own PID namespace.
    pub pid: Option<i64>,
    /// Whether the holder lives, by the kernel's lock or, for a foreign owner, by its process.
    pub alive: bool,
    /// The hold's identity; none for a foreign owner.
    pub owner: Option<Uuid>,
    /// The holder's host name.
    pub host: Option<String>,
    /// What the holder says it is doing, without control characters.
    pub label: Option<String>,
    /// Since when.
    #[serde(serialize_with = "iso_time")]
    pub since: Option<SystemTime>,
    /// Whether it is a program that does not speak this protocol.
    pub foreign: bool,
    /// Whether it is this very process.
    pub this_process: bool,
}

impl Holder {
    /// How long ago the hold began, by the wall clock; zero when that lies in the future.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.since.map(|since| SystemTime::now().duration_since(since).unwrap_or_default())
    }
}

fn iso_time<S: serde::Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    time.map(|t| crate::lockfile::record::iso(t).unwrap_or_default()).serialize(serializer)
}

/// `pid=1234 alive=true ageMs=5321`, the words that the field greps for.
struct HolderFacts<'a>(Option<&'a Holder>);

impl fmt::Display for HolderFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(holder) = self.0 else {
            return f.write_str("pid=unknown alive=unknown ageMs=unknown");
        };
        match holder.pid {
            Some(pid) => write!(f, "pid={pid}")?,
            None => f.write_str("pid=unknown")?,
        }
        write!(f, " alive={}", holder.alive)?;
        match holder.age() {
            Some(age) => write!(f, " ageMs={}", age.as_millis()),
            None => f.write_str(" ageMs=unknown"),
        }
    }
}

/// ` (held by "reply", owner …, on host x, by this very process)`.
struct HolderStory<'a>(Option<&'a Holder>);

impl fmt::Display for HolderStory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(holder) = self.0 else { return Ok(()) };
        let mut facts = Vec::new();
        if let Some(label) = &holder.label {
            facts.push(format!("label \"{label}\""));
        }
        if let Some(owner) = holder.owner {
            facts.push(format!("owner {owner}"));
        }
        if let Some(host) = &holder.host {
            facts.push(format!("host {host}"));
        }
        if holder.foreign {
            facts.push(match holder.pid {
                Some(pid) => format!("a foreign program, pid {pid}"),
                None => "a foreign program".into(),
            });
        }
        if holder.this_process {
            facts.push("this very process: does a task wait for its own turn?".into());
        }
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

/// Somebody or nobody, in full.
struct Whom<'a>(Option<&'a Holder>);

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(_) => write!(f, "{}{}", HolderFacts(self.0), HolderStory(self.0)),
            None => f.write_str("nobody that can be told"),
        }
    }
}

struct ByPid(Option<u32>);

impl fmt::Display for ByPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " of process {pid}"))
    }
}

/// Why a write failed that has left something in the file.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}; what was written of it stays at the end of the file: the next append closes it, and a repair takes out what is torn"
)]
pub(crate) struct NotTakenBack(io::Error);

impl NotTakenBack {
    pub(crate) fn because(source: io::Error) -> io::Error {
        io::Error::new(source.kind(), Self(source))
    }
}

/// What to do about the commonest answers of the system.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        _ if source.get_ref().is_some_and(|it| it.is::<NotTakenBack>()) => "",
        io::ErrorKind::StorageFull => "; the file is as it was before: make room and try again",
        io::ErrorKind::QuotaExceeded => {
            "; the file is as it was before: raise the quota and try again"
        }
        io::ErrorKind::FileTooLarge => {
            "; the file is as it was before: raise the file size limit (ulimit -f)"
        }
        io::ErrorKind::PermissionDenied => "; run as the user that owns the session",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable",
        _ if source.raw_os_error() == Some(nix::libc::EMFILE) => {
            "; raise the descriptor limit (ulimit -n)"
        }
        _ => "",
    }
}

/// Says what was tried, and on which path, when a system call fails.
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source: source.into() })
    }
}

impl Error {
    /// Whether trying again later may succeed without anybody's doing: the session was busy.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            #[cfg(feature = "gateway")]
            Self::Gateway(refused) => refused.is_busy(),
            _ => matches!(
                self,
                Self::Timeout { .. } | Self::DataLockBusy { .. } | Self::RemoteOwner { .. }
            ),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Open { path, source } if source.kind() == io::ErrorKind::NotFound => {
                Self::NoSession { path }
            }
            ReadError::Open { path, source } => Self::Io { action: "open", path, source },
            ReadError::Read { path, source } => Self::Io { action: "read", path, source },
            ReadError::Symlink { path } => {
                Self::NotASession { path, reason: "it is a symbolic link; name the file itself" }
            }
            ReadError::NotAFile { path, kind } => Self::NotASession { path, reason: kind },
        }
    }
}
