//! Storms over `turnlock doctor`: kills at any moment beside writers, damaged files against a
//! reference in another language, and quarantines that something has changed.
//!
//! Each takes a few seconds. Set `TURNLOCK_STORM_SECONDS` for longer ones, and
//! `TURNLOCK_STORM_SEED` for others.

mod damage;
mod files;
mod kills;
#[expect(dead_code, reason = "shared with tests that also need turns held by the program")]
#[path = "../support/program.rs"]
mod program;
mod quarantines;
mod storm;
