//! What `clock_jumps` uses of the shared room.

pub use turnlock_testing::{DEADLINE, NOBODY, Room, foreign_record, room, start_time_of};
