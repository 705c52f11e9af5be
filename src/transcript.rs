//! What is in a session file, and what is broken in it: bytes in, lines and damage out.
//!
//! Nothing here knows a path or a lock. Repair and restore are plans: they say what is to be written,
//! and who has the session writes it.

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
