//! The session file: what is in it, what is broken in it, and how that is put right.

mod candidate;
pub mod damage;
mod dissect;
pub mod json;
pub mod quarantine;
pub mod read;
pub mod repair;
pub mod restore;
mod runs;
pub mod scan;
pub mod source;
mod utf8;
