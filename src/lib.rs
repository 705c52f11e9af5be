//! turnlock.
