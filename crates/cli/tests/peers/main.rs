//! Beside the programs that share its files in the field, nothing mocked: OpenClaw's own lock in
//! three of its versions, and that of `@openclaw/fs-safe`, run by Node from their npm packages;
//! `flock(1)`, `rm`, and `find -delete`.
//!
//! Set `TURNLOCK_PEERS_SECONDS` for longer rounds of appending together than the two seconds of
//! each.

mod contained;
mod doctor;
mod exclusion;
mod node;
mod npm;
mod ours;
mod plain;
#[path = "../support/program.rs"]
mod program;
mod room;
mod stale;
mod together;
