//! The contents of session files: lines, damage, repair and restore.
//!
//! Nothing here knows a path or a lock. Repair and restore read from a [`ReadAt`](source::ReadAt)
//! and write to any [`Write`](std::io::Write). The holder of the turn puts the result into place.

mod candidate;
pub(crate) mod damage;
mod dissect;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod quarantine;
pub(crate) mod repair;
pub(crate) mod restore;
mod runs;
pub(crate) mod scan;
pub(crate) mod source;
mod utf8;
