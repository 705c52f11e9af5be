//! The line as it is in the library, on other locks.

#[allow(dead_code)] // a rest is for those who wait for foreign owners
#[path = "../../src/registry/line.rs"]
pub(crate) mod line;
#[path = "sync.rs"]
mod sync;
