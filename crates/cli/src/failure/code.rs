//! The words by which scripts tell errors apart in JSON.

use turnlock::Error;
use turnlock::gateway::{self, Refused};

pub(super) fn of_error(error: &Error) -> &'static str {
    match error {
        Error::Timeout { .. } => "timeout",
        Error::DataLockBusy { .. } => "data-lock-busy",
        Error::NoAnswer { .. } => "no-answer",
        Error::LockLost { .. } => "lock-lost",
        Error::RemoteOwner { .. } => "remote-owner",
        Error::LocksNotKept { .. } => "locks-not-kept",
        Error::NotASession { .. } => "not-a-session",
        Error::NotALockFile { .. } => "not-a-lock-file",
        Error::NoSession { .. } => "no-session",
        Error::BadLine { .. } => "bad-line",
        Error::Overtaken { .. } => "overtaken",
        Error::Changed { .. } => "changed",
        Error::SyncFailed { .. } => "sync-failed",
        Error::Unsynced { .. } => "unsynced",
        Error::ReadFirst { .. } => "read-first",
        Error::Restore { .. } => "restore",
        Error::NotTheHolder { .. } => "not-the-holder",
        Error::ForeignHolder { .. } => "foreign-holder",
        Error::Config { .. } => "config",
        Error::Forked { .. } => "forked",
        Error::Runtime { .. } => "runtime",
        Error::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => "not-found",
            std::io::ErrorKind::PermissionDenied => "permission-denied",
            _ => "io",
        },
        _ => "failure",
    }
}

pub(super) fn of_gateway(error: &gateway::Error) -> &'static str {
    match error {
        gateway::Error::Lock(error) => of_error(error),
        gateway::Error::Refused(refused) => match refused {
            Refused::StateLocked { .. } => "state-locked",
            Refused::ConfigLocked { .. } => "config-locked",
            Refused::PortTaken { .. } => "port-taken",
            Refused::Bind { .. } => "bind",
            Refused::NeverHealthy { .. } => "never-healthy",
            Refused::NotTheOwner { .. } => "not-the-owner",
            Refused::PortNotFreed { .. } => "port-not-freed",
            _ => "refused",
        },
        _ => "failure",
    }
}
