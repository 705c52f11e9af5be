//! What the tests of this workspace share. It does not depend on the library: it sees sessions,
//! locks and processes from outside, as another program would.

pub mod advice;
pub mod alone;
pub mod child;
pub mod clock;
pub mod contained;
pub mod disk;
pub mod env;
pub mod foreign;
pub mod kernel;
pub mod mount;
pub mod namespace;
pub mod port;
pub mod process;
pub mod room;
pub mod running;
pub mod signals;
pub mod silent;
pub mod strace;
pub mod user;
pub mod wait;

pub use alone::alone;
pub use contained::Contained;
pub use foreign::{NOBODY, flocked, foreign_record, foreign_record_of, leased};
pub use kernel::{census, kernel_waiters, start_time_of, state_of, threads_named};
pub use namespace::in_a_namespace;
pub use process::{Doomed, Sleeper, am_root};
pub use room::{Room, names, room};
pub use running::{Ended, Running, ended, fed};
pub use wait::{DEADLINE, eventually, until};
