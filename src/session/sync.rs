//! The primitives that the queue is built of. The test of all its interleavings
//! (`proptests/interleavings/queue.rs`) puts another such module in the place of this one.

pub(super) use crate::outside::wake;
pub(super) use parking_lot::{Condvar, Mutex};
pub(super) use std::sync::Arc;
