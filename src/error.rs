//! What can go wrong: one variant per cause. Each message names the path, the holder if there is
//! one, and the remedy.

mod advice;
mod changed;
mod code;
mod holder;
mod lost;
mod read;
mod text;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys;
use crate::transcript::restore::RestoreError;

use advice::{AgainstForeign, ToGetIt};
pub(crate) use advice::{IfHostIsGone, revoke, shell_word};
pub use changed::SessionChange;
pub use holder::Holder;
pub use lost::LostCause;
pub(crate) use read::MOUNTED;
pub use read::{ReadError, RecordError};
use text::{AndMore, ButBy, HolderFacts, HolderStory, InBrackets, Writer, remedy};
pub(crate) use text::{NotTakenBack, iso, printable};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The session stayed busy until the deadline. Nothing was written; try again later.
    #[error(
        "session file locked (timeout {}ms): {} {}{}; {}",
        waited.as_millis(),
        HolderFacts(holder.as_deref()),
        lock.display(),
        HolderStory(holder.as_deref()),
        ToGetIt(lock, holder.as_deref())
    )]
    Timeout {
        /// The lock file.
        lock: PathBuf,
        /// How long this acquire was allowed to wait.
        waited: Duration,
        /// Who holds it, as far as can be told.
        holder: Option<Box<Holder>>,
    },

    /// The session file's data lock stayed busy until the deadline: another process is inside an
    /// append, and may be stopped there. Or it keeps the lock in another way, for which it needs no
    /// more than the right to read the file. Nothing was written.
    #[error(
        "session file busy: {} {how} {} (waited {}ms); \
         if that process is stopped, continue or end it",
        Writer(*pid), session.display(), waited.as_millis()
    )]
    DataLockBusy {
        /// The session file.
        session: PathBuf,
        /// The process that keeps the data lock, if the system tells.
        pid: Option<u32>,
        /// What that process does with the file, as far as the system tells, as in `is inside an
        /// append to`.
        how: &'static str,
        /// How long this operation was allowed to wait.
        waited: Duration,
    },

    /// The disk of a session has not answered by the deadline. What it still does is taken back.
    /// Nothing was written; try again later.
    #[error(
        "no answer from the disk of {} (waited {}ms); nothing was written: \
         see whether its filesystem is reachable, frozen or overloaded",
        path.display(), waited.as_millis()
    )]
    NoAnswer {
        /// The session or lock file.
        path: PathBuf,
        /// How long this operation was allowed to wait.
        waited: Duration,
    },

    /// This holder has lost the turn. Nothing was written; acquire again, and read what others
    /// wrote.
    #[error(
        "lock lost: {cause} ({}); nothing was written: acquire again, and re-read the session",
        lock.display()
    )]
    LockLost {
        /// The lock file.
        lock: PathBuf,
        /// How it was lost.
        cause: LostCause,
    },

    /// The record names an owner on another machine, or of another boot, on a network filesystem.
    /// It is not reclaimed on suspicion.
    #[error(
        "locked from another host: {}{}; {}",
        lock.display(), HolderStory(Some(holder)), IfHostIsGone(lock, holder)
    )]
    RemoteOwner {
        /// The lock file.
        lock: PathBuf,
        /// The owner that the record names.
        holder: Box<Holder>,
    },

    /// The filesystem does not keep kernel locks, so this crate could not keep its promises there.
    #[error("{}: {reason}", dir.display())]
    LocksNotKept {
        /// The directory.
        dir: PathBuf,
        /// The mount, why it does not keep locks, and what would.
        reason: String,
    },

    /// The path cannot be a session file.
    #[error("not a session file: {}: {reason}", path.display())]
    NotASession {
        /// The path.
        path: PathBuf,
        /// Why, and what would be a session file.
        reason: &'static str,
    },

    /// The lock path names something that is not a lock file (a directory, a link, a device). That
    /// is left alone.
    #[error("not a lock file: {}: {reason}", path.display())]
    NotALockFile {
        /// The lock path.
        path: PathBuf,
        /// What it is, and what to do about it.
        reason: String,
    },

    /// The session file does not exist, and the operation does not create one.
    #[error("no such session: {}; check the name", path.display())]
    NoSession {
        /// The session file.
        path: PathBuf,
    },

    /// A value cannot be written as one line of JSON. Nothing was written.
    #[error("line {line} is not JSON: {reason}; nothing was written")]
    BadLine {
        /// The number of the line in the append, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },

    /// The program did not make the line that it was to make from the end of the session, as with
    /// [`append_with`](crate::Turn::append_with). Nothing was written.
    #[error("{}: no line was made for it: {source}; nothing was written", session.display())]
    NotMade {
        /// The session file.
        session: PathBuf,
        /// What the program says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A record of a session could not be handed out as the type that was asked for.
    #[error(transparent)]
    Record(Box<RecordError>),

    /// Another program took the lock, put a new file at the session's path, or cut the file, during
    /// the write or just before it. The lines may be in the session or not; they are not
    /// acknowledged.
    #[error(
        "{}: another program took the session while this was written; \
         re-read the session to see whether it is there",
        session.display()
    )]
    Overtaken {
        /// The session file.
        session: PathBuf,
    },

    /// Another program has removed, replaced or cut the session file while this turn was held, so
    /// that what the holder had seen of it is not there any more. Nothing was written.
    ///
    /// A [`Turn::read`](crate::Turn::read) accepts the session as it is now; after that, the turn
    /// goes on.
    #[error(
        "{}: {how} during this turn; nothing was written: \
         re-read the session, which accepts it as it is now, and write again",
        session.display()
    )]
    Changed {
        /// The session file.
        session: PathBuf,
        /// What was done to it.
        how: SessionChange,
    },

    /// An earlier sync of this turn failed, and it is not known what is on disk. The turn accepts
    /// no more appends.
    #[error(
        "{}: an earlier sync failed ({reason}); \
         release the turn, check the disk, and acquire again",
        session.display()
    )]
    SyncFailed {
        /// The session file.
        session: PathBuf,
        /// The first failure.
        reason: String,
    },

    /// A rewrite, a repair or its undoing has put the new file in place, but the directory could
    /// not be synced.
    #[error(
        "{}: the new file is in place, but its directory could not be synced ({source}); \
         a loss of power may bring the old one back: do it again once the disk is in order",
        session.display()
    )]
    Unsynced {
        /// The session file.
        session: PathBuf,
        /// Why the sync failed.
        source: io::Error,
    },

    /// A repair in this turn has moved lines that the turn has not read. A rewrite could lose them.
    #[error(
        "{}: a repair has moved lines that this turn has not read; \
         re-read the session before rewriting it",
        session.display()
    )]
    ReadFirst {
        /// The session file.
        session: PathBuf,
    },

    /// Another process has the session open for writing, without this protocol. A repair or its
    /// undoing puts a new file in place, and what that process writes later would go into the old
    /// one, and be lost. The session is as it was.
    #[error(
        "{}: pid {pid}{} has it open for writing{}, and would go on writing into the old file; \
         end it, or let it close the session, and try again",
        session.display(), InBrackets(program.as_deref()), AndMore(*more)
    )]
    OpenElsewhere {
        /// The session file.
        session: PathBuf,
        /// The process, as `/proc` numbers it here.
        pid: u32,
        /// The name of its program, if that can be read.
        program: Option<String>,
        /// How many other such processes there are.
        more: usize,
    },

    /// A repair cannot be undone. The session is as it was.
    #[error("{}: {source} (quarantine: {})", session.display(), quarantine.display())]
    Restore {
        /// The session file.
        session: PathBuf,
        /// The quarantine.
        quarantine: PathBuf,
        /// Why.
        source: Box<RestoreError>,
    },

    /// A revoke named an owner that does not hold the session.
    #[error(
        "{}: not held by {named}{}; nothing was revoked",
        lock.display(), ButBy(holder.as_deref())
    )]
    NotTheHolder {
        /// The lock file.
        lock: PathBuf,
        /// The owner that was named.
        named: String,
        /// Who holds it, as far as can be told.
        holder: Option<Box<Holder>>,
    },

    /// A revoke met a living owner that does not use this protocol. Its writes could not be
    /// refused.
    #[error(
        "{}: held by a living program without a fence{}; {}",
        lock.display(), HolderStory(Some(holder)), AgainstForeign(lock, holder)
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

    /// Somebody has the session, and this process is a fork, without `exec`, of one that has used
    /// sessions. The threads that wait are not in it. Nothing was written.
    #[error(
        "{}: busy, and nobody can wait for it in a fork without exec; \
         use sessions in the parent, or exec a program",
        session.display()
    )]
    Forked {
        /// The session file.
        session: PathBuf,
    },

    /// The runtime is shutting down, or an async function was called outside one.
    #[error(
        "no tokio runtime to work on ({reason}); \
         call the `_blocking` twin, or keep the runtime alive"
    )]
    Runtime {
        /// What happened.
        reason: String,
    },

    /// A system call failed.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What failed.
        action: &'static str,
        /// The path that it failed on.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Adds the action and the path to the error of a system call.
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source: source.into() })
    }
}

impl Error {
    /// Whether a file could not be opened because of somebody's lease on it. It is busy then.
    pub(crate) fn is_lease(&self) -> bool {
        matches!(self, Self::Io { action: "open", source, .. } if sys::is_lease_refusal(source))
    }
}
