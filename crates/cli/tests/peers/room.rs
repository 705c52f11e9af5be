//! A session where OpenClaw keeps its own, and the rules by which the tests take turns on it.

use turnlock::{Durability, Sessions};
use turnlock_testing::{DEADLINE, Room};

/// A room for `<state>/agents/main/sessions/s.jsonl`, which is there, and empty.
pub fn room() -> Room {
    let room = Room::below("agents/main/sessions");
    std::fs::write(&room.session, "").unwrap();
    room
}

/// Sessions for tests in which syncing is not the point.
pub fn buffered() -> Sessions {
    Sessions::builder().durability(Durability::Buffered).acquire_timeout(DEADLINE).build().unwrap()
}
