//! Every interleaving: of the protocol's system calls, and of the threads at the queue.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model;
mod queue;

// The library's queue, compiled here once more, names these from the root of its crate.
use queue::library::{error, mode};
