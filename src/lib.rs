//! turnlock.

pub mod transcript;
