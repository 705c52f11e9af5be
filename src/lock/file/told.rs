//! What the holder of a turn tells its children of the session (I4): what it has seen of it. The
//! children append under its turn, and would not notice otherwise that somebody has changed it.
//!
//! It is an attribute of the lock file, with the owner for whom it counts. Where there are no such
//! attributes, a child notices only that a session was removed.

use uuid::Uuid;

use crate::datafile::{ToldView, View};
use crate::sys::{Pinned, note};

/// Notes what was seen by the holder with this owner and its children; `None` if they know that
/// there is no session file.
pub(crate) fn tell(lock: &Pinned, owner: Uuid, seen: Option<&View>) {
    if let Some(told) = ToldView::of(seen) {
        // A hint, without which the append goes on.
        let _ = note::set(lock.file(), note::About::Turn, format!("{owner} {told}").as_bytes());
    }
}

/// What was noted for this owner, if anything was.
pub(crate) fn told(lock: &Pinned, owner: Uuid) -> Option<ToldView> {
    let note = note::get(lock.file(), note::About::Turn)?;
    let (whose, told) = std::str::from_utf8(&note).ok()?.split_once(' ')?;
    (whose.parse() == Ok(owner)).then(|| told.parse().ok())?
}
