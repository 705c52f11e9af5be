//! What can go wrong when a session file is read.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::Error;
use crate::transcript::damage::Damage;

/// Why a file that is mounted by itself is no session, and what to do instead.
pub(crate) const MOUNTED: &str = concat!(
    "it is mounted there by itself, and has another name elsewhere, so that there would be two ",
    "locks, and no new file can be put in its place; mount its directory instead, or run ",
    "turnlock where that other name is"
);

/// Why a session file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be opened.
    #[error("{}: cannot open it: {source}", path.display())]
    Open {
        /// The session file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is a symbolic link, which could point anywhere.
    #[error("{}: is a symbolic link; name the file that it points to", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// It is a directory, a pipe, a device or a socket.
    #[error("{}: is {kind}, not a regular file; name a .jsonl file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// It is mounted there by itself.
    #[error("{}: {MOUNTED}", path.display())]
    Mounted {
        /// The session file.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("{}: cannot read it: {source}", path.display())]
    Read {
        /// The session file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why a record could not be handed out as the type that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Something is damaged here. The whole records that were found in it follow.
    #[error("{0}")]
    Damage(Damage),
    /// The record is valid JSON, but not of this type (or nested more than 128 levels deep).
    #[error("bytes {}..{}: {source}", range.start, range.end)]
    Mismatch {
        /// Where the record is.
        range: Range<u64>,
        /// What serde reported.
        source: serde_json::Error,
    },
    /// The record is longer than [`Transcript::max_line`](crate::Transcript::max_line).
    #[error(
        "bytes {}..{}: longer than the longest line that is handed out", range.start, range.end
    )]
    TooLong {
        /// Where the record is.
        range: Range<u64>,
    },
    /// Reading failed; nothing follows.
    #[error(transparent)]
    Read(#[from] ReadError),
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
                let reason = "it is a symbolic link; name the file itself";
                Self::NotASession { path, reason }
            }
            ReadError::Mounted { path } => Self::NotASession { path, reason: MOUNTED },
            ReadError::NotAFile { path, kind } => Self::NotASession { path, reason: kind },
        }
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Read(error) => error.into(),
            other => Self::Record(Box::new(other)),
        }
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        Error::from(error).into()
    }
}

impl From<RecordError> for io::Error {
    fn from(error: RecordError) -> Self {
        Error::from(error).into()
    }
}
