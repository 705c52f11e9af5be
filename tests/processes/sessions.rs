//! The rules by which the tests take turns.

use turnlock::{Durability, Sessions};

/// Sessions for tests in which syncing is not the point.
pub fn buffered() -> Sessions {
    Sessions::builder().durability(Durability::Buffered).build().unwrap()
}
