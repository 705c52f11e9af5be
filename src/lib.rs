//! One turn at a time on the JSONL session files of AI agents: crash-proof, without losing or tearing a line.

#![deny(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used)]

mod caller;
mod error;
mod flock;
#[cfg(feature = "gateway")]
pub mod gateway;
mod keeper;
mod lockfile;
mod metrics;
mod place;
mod registry;
mod sessions;
mod sweep;
mod transcript;
mod turn;

pub use error::{Error, Holder, LostCause, Result};
pub use lockfile::verdict::Reason;
pub use sessions::{Acquire, Builder, LongHold, Sessions};
pub use sweep::{LockReport, LockState};
pub use transcript::{Appended, Durability};
pub use turn::Turn;
