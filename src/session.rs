//! Door 1: one session in this process. Its queues, its runs, the threads that wait in the kernel
//! for it, and the turn that a holder has.

pub(crate) mod data_queue;
pub(crate) mod fast_path;
mod long_holds;
mod queue;
mod run;
mod slot;
mod sync;
mod turn;
pub(crate) mod waiting;

pub(crate) use queue::{Call, Ticket};
pub(crate) use slot::{SlotRef, held_count, owner_here};
pub use turn::{Rewritten, Turn};
pub(crate) use turn::{leave_to_others, let_go_of_post, resume};
