//! The line as it is in the library, on other locks.

#[path = "../../src/registry/line.rs"]
pub(crate) mod line;
#[path = "sync.rs"]
mod sync;
