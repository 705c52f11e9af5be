//! The rules by which the tests take turns.

use serde_json::json;
use turnlock::{Durability, Sessions};
use turnlock_testing::Room;

/// Sessions for tests in which syncing is not the point.
pub fn buffered() -> Sessions {
    Sessions::builder().durability(Durability::Buffered).build().unwrap()
}

/// Posts a line with this number.
pub fn post(room: &Room, n: u32) {
    buffered().post_blocking(&room.session, &json!({"post": n})).unwrap();
}
