//! Marks: hints of life on a lock file that neither take nor disturb its `flock`.
//!
//! They are locks on three bytes far beyond the record. No invariant depends on them. They are not
//! used on network filesystems, where they collide with an emulated `flock`.

use std::fs::File;
use std::ops::Range;

use crate::sys::range_lock::{self, Kind};

/// Locked shared by each waiter that lets others go first.
const YIELDING: Range<i64> = 1 << 40..(1 << 40) + 1;
/// Locked shared by each waiter.
const WAITING: Range<i64> = YIELDING.end..YIELDING.end + 1;
/// Locked exclusively by the holder.
const HOLDING: Range<i64> = WAITING.end..WAITING.end + 1;
const YIELDING_OR_WAITING: Range<i64> = YIELDING.start..WAITING.end;

/// Marks a waiter that is about to wait, and lets the others go first.
pub(crate) fn let_others_go_first(file: &File) {
    range_lock::set(file, Kind::Shared, YIELDING);
}

/// Marks a waiter.
pub(crate) fn wait(file: &File) {
    range_lock::set(file, Kind::Shared, WAITING);
}

/// Takes back the marks of a waiter, which has been granted the lock.
pub(crate) fn end_wait(file: &File) {
    range_lock::clear(file, YIELDING_OR_WAITING);
}

/// Whether anybody waits through another descriptor, or is about to. If that cannot be told, a
/// holder assumes so: it leaves its file in place, and the keeper removes it later.
pub(crate) fn somebody_waits(file: &File) -> bool {
    range_lock::is_in_the_way(file, Kind::Exclusive, YIELDING_OR_WAITING).unwrap_or(true)
}

/// Whether anybody waits through another descriptor without letting others go first.
pub(crate) fn somebody_is_next(file: &File) -> bool {
    range_lock::is_in_the_way(file, Kind::Exclusive, WAITING).unwrap_or(true)
}

/// Marks the holder: it lives.
pub(crate) fn hold(file: &File) {
    range_lock::set(file, Kind::Exclusive, HOLDING);
}

/// Takes back the mark of a holder, which is about to let go.
pub(crate) fn end_hold(file: &File) {
    range_lock::clear(file, HOLDING);
}

/// Whether a living holder has marked this file through another descriptor.
pub(crate) fn somebody_holds(file: &File) -> bool {
    range_lock::is_in_the_way(file, Kind::Shared, HOLDING).unwrap_or(false)
}
