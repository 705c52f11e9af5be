//! Waiting threads: for each contended lock, at most one thread per process blocks in the kernel,
//! on behalf of whoever is first in the queue when it is granted the lock.
//!
//! Waiters keep their deadlines themselves. If all of them gave up, the thread stays blocked. It
//! serves the next waiter who comes, or lets go at once when it is granted the lock.

mod data_lock;
mod threads;
mod turn_lock;
mod watch;

pub(super) use data_lock::for_data_lock;
pub(crate) use turn_lock::for_turn_lock;
pub(crate) use watch::watch_hold;

/// What an error says was attempted when no waiting thread can be had.
const START: &str = "start a waiting thread for";
