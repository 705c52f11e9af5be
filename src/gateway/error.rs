//! What can go wrong with a gateway.

use super::Refused;

/// The result of an operation on a gateway.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with a gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The gateway may not start, or may not be ended.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A lock, or a file beside it, cannot be used.
    #[error(transparent)]
    Lock(#[from] crate::Error),
}

impl Error {
    /// Whether the same call may succeed later, without anybody's intervention.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Refused(refused) => refused.is_busy(),
            Self::Lock(error) => error.is_busy(),
        }
    }
}
