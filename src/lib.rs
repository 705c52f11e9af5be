//! turnlock.

mod lockfile;

pub use lockfile::verdict::Reason;
