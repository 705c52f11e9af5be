//! One session within this process: its queues, its runs, the threads that wait in the kernel for
//! it, and the turn of its holder.
//!
//! | file | purpose |
//! |---|---|
//! | `slot.rs` | one session that this process is busy with, and the registry of all |
//! | `queue.rs` | the queue in front of a kernel lock; each slot has one for each lock |
//! | `waiting.rs` | the threads that wait in the kernel, and the watch over what they wait for |
//! | `data_lock.rs` | the way to the data lock |
//! | `turn.rs` | the turn: what a holder can do, how it lets go, and what lingers after it |
//! | `at_server.rs` | what else a slot knows where a server keeps the locks (I8, I22) |
//! | `run.rs` | how long a process may keep a session while others wait (I8) |
//! | `fast_path.rs` | when async code may do file work in place |
//! | `long_holds.rs` | reports of turns that are held for long |
//!
//! The way to the turn lock is `sessions/acquire.rs`.

mod at_server;
pub(crate) mod data_lock;
pub(crate) mod fast_path;
mod long_holds;
mod queue;
mod run;
mod slot;
mod sync;
mod turn;
pub(crate) mod waiting;

pub(crate) use queue::{Call, Ticket};
pub(crate) use slot::{SlotRef, held_count, owner_here, refuse_to_wait_in_fork};
pub use turn::{Rewritten, Turn};
pub(crate) use turn::{let_go_of_kept_lock, let_go_of_post, resume};
