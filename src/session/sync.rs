//! What the line is built of. The test of all its interleavings (`proptests/queue.rs`) puts another such module in its place.

pub(super) use parking_lot::{Condvar, Mutex};
pub(super) use std::sync::Arc;
