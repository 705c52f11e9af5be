//! Errors for programs: a code for each kind, what it is about, and the kind that the standard
//! library has for it.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Error, Holder};

impl Error {
    /// A name for this kind of error that stays the same in all versions: kebab-case, as in
    /// `lock-lost`.
    ///
    /// | code | error |
    /// |---|---|
    /// | `timeout` | [`Timeout`](Self::Timeout) |
    /// | `data-lock-busy` | [`DataLockBusy`](Self::DataLockBusy) |
    /// | `no-answer` | [`NoAnswer`](Self::NoAnswer) |
    /// | `lock-lost` | [`LockLost`](Self::LockLost) |
    /// | `remote-owner` | [`RemoteOwner`](Self::RemoteOwner) |
    /// | `locks-not-kept` | [`LocksNotKept`](Self::LocksNotKept) |
    /// | `not-a-session` | [`NotASession`](Self::NotASession) |
    /// | `not-a-lock-file` | [`NotALockFile`](Self::NotALockFile) |
    /// | `no-session` | [`NoSession`](Self::NoSession) |
    /// | `bad-line` | [`BadLine`](Self::BadLine) |
    /// | `bad-record` | [`Record`](Self::Record) |
    /// | `not-made` | [`NotMade`](Self::NotMade) |
    /// | `overtaken` | [`Overtaken`](Self::Overtaken) |
    /// | `changed` | [`Changed`](Self::Changed) |
    /// | `sync-failed` | [`SyncFailed`](Self::SyncFailed) |
    /// | `unsynced` | [`Unsynced`](Self::Unsynced) |
    /// | `read-first` | [`ReadFirst`](Self::ReadFirst) |
    /// | `open-elsewhere` | [`OpenElsewhere`](Self::OpenElsewhere) |
    /// | `cannot-restore` | [`Restore`](Self::Restore) |
    /// | `not-the-holder` | [`NotTheHolder`](Self::NotTheHolder) |
    /// | `foreign-holder` | [`ForeignHolder`](Self::ForeignHolder) |
    /// | `bad-setting` | [`Config`](Self::Config) |
    /// | `forked` | [`Forked`](Self::Forked) |
    /// | `no-runtime` | [`Runtime`](Self::Runtime) |
    /// | `io` | [`Io`](Self::Io) |
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::DataLockBusy { .. } => "data-lock-busy",
            Self::NoAnswer { .. } => "no-answer",
            Self::LockLost { .. } => "lock-lost",
            Self::RemoteOwner { .. } => "remote-owner",
            Self::LocksNotKept { .. } => "locks-not-kept",
            Self::NotASession { .. } => "not-a-session",
            Self::NotALockFile { .. } => "not-a-lock-file",
            Self::NoSession { .. } => "no-session",
            Self::BadLine { .. } => "bad-line",
            Self::Record(_) => "bad-record",
            Self::NotMade { .. } => "not-made",
            Self::Overtaken { .. } => "overtaken",
            Self::Changed { .. } => "changed",
            Self::SyncFailed { .. } => "sync-failed",
            Self::Unsynced { .. } => "unsynced",
            Self::ReadFirst { .. } => "read-first",
            Self::OpenElsewhere { .. } => "open-elsewhere",
            Self::Restore { .. } => "cannot-restore",
            Self::NotTheHolder { .. } => "not-the-holder",
            Self::ForeignHolder { .. } => "foreign-holder",
            Self::Config { .. } => "bad-setting",
            Self::Forked { .. } => "forked",
            Self::Runtime { .. } => "no-runtime",
            Self::Io { .. } => "io",
        }
    }

    /// Whether the session was busy, so that trying again later may succeed.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::DataLockBusy { .. }
                | Self::RemoteOwner { .. }
                | Self::NoAnswer { .. }
        )
    }

    /// The file or directory that the error is about: the session or its lock file, as a rule.
    /// `None` if it is about none.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Timeout { lock, .. }
            | Self::LockLost { lock, .. }
            | Self::RemoteOwner { lock, .. }
            | Self::NotTheHolder { lock, .. }
            | Self::ForeignHolder { lock, .. } => Some(lock),
            Self::DataLockBusy { session, .. }
            | Self::NotMade { session, .. }
            | Self::Overtaken { session }
            | Self::Changed { session, .. }
            | Self::SyncFailed { session, .. }
            | Self::Unsynced { session, .. }
            | Self::ReadFirst { session }
            | Self::OpenElsewhere { session, .. }
            | Self::Restore { session, .. }
            | Self::Forked { session } => Some(session),
            Self::NoAnswer { path, .. }
            | Self::NotASession { path, .. }
            | Self::NotALockFile { path, .. }
            | Self::NoSession { path }
            | Self::Io { path, .. } => Some(path),
            Self::LocksNotKept { dir, .. } => Some(dir),
            Self::Record(_) | Self::BadLine { .. } | Self::Config { .. } | Self::Runtime { .. } => {
                None
            }
        }
    }

    /// Who holds the session, if the error is about somebody who does, as far as can be told.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Timeout { holder, .. } | Self::NotTheHolder { holder, .. } => holder.as_deref(),
            Self::RemoteOwner { holder, .. } | Self::ForeignHolder { holder, .. } => Some(holder),
            _ => None,
        }
    }

    /// The kind that the standard library has for it.
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Timeout { waited, .. } | Self::DataLockBusy { waited, .. } => busy_after(*waited),
            Self::NoAnswer { .. } => io::ErrorKind::TimedOut,
            Self::RemoteOwner { .. } | Self::ForeignHolder { .. } | Self::OpenElsewhere { .. } => {
                io::ErrorKind::ResourceBusy
            }
            Self::NoSession { .. } => io::ErrorKind::NotFound,
            Self::NotASession { .. } | Self::Config { .. } => io::ErrorKind::InvalidInput,
            Self::BadLine { .. } | Self::Record(_) => io::ErrorKind::InvalidData,
            Self::LocksNotKept { .. } | Self::Forked { .. } => io::ErrorKind::Unsupported,
            Self::Unsynced { source, .. } | Self::Io { source, .. } => source.kind(),
            Self::LockLost { .. }
            | Self::NotALockFile { .. }
            | Self::NotMade { .. }
            | Self::Overtaken { .. }
            | Self::Changed { .. }
            | Self::SyncFailed { .. }
            | Self::ReadFirst { .. }
            | Self::Restore { .. }
            | Self::NotTheHolder { .. }
            | Self::Runtime { .. } => io::ErrorKind::Other,
        }
    }
}

fn busy_after(waited: Duration) -> io::ErrorKind {
    if waited.is_zero() { io::ErrorKind::WouldBlock } else { io::ErrorKind::TimedOut }
}

/// Keeps the kind, where the standard library has one, and the error itself
/// ([`get_ref`](io::Error::get_ref)). An error that only passes on the system's answer has that
/// answer's kind.
///
/// ```
/// use std::io;
/// use turnlock::Transcript;
///
/// fn records(path: &str) -> io::Result<Vec<serde_json::Value>> {
///     let records: Result<_, _> = Transcript::open(path)?.records().collect();
///     Ok(records?)
/// }
///
/// let missing = records("/no/such/session.jsonl");
/// assert_eq!(missing.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
/// ```
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: io::ErrorKind) -> Error {
        Error::Io { action: "open", path: "s.jsonl".into(), source: kind.into() }
    }

    #[test]
    fn the_kind_of_the_systems_answer_is_kept() {
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NotFound,
            io::ErrorKind::ReadOnlyFilesystem,
        ] {
            let error = io::Error::from(io(kind));
            assert_eq!(error.kind(), kind);
            let inner = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
            assert_eq!(inner.code(), "io");
        }
    }

    #[test]
    fn who_does_not_wait_would_block_and_who_waits_times_out() {
        for (waited, kind) in [
            (Duration::ZERO, io::ErrorKind::WouldBlock),
            (Duration::from_millis(1), io::ErrorKind::TimedOut),
        ] {
            let busy = Error::Timeout { lock: "s.jsonl.lock".into(), waited, holder: None };
            assert!(busy.is_busy());
            assert_eq!(io::Error::from(busy).kind(), kind);
        }
    }

    #[test]
    fn each_code_is_in_the_table_of_the_documentation_once() {
        let source = include_str!("code.rs");
        let table: Vec<&str> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("/// | `")?.split('`').next())
            .collect();
        let (_, code) = source.split_once("pub fn code(&self)").unwrap();
        let (code, _) = code.split_once("\n    }\n").unwrap();
        let codes: Vec<&str> = code.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(table, codes);
        assert!(codes.len() > 20, "{codes:?}");
        for code in &codes {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
            assert_eq!(codes.iter().filter(|other| *other == code).count(), 1, "{code}");
        }
    }
}
