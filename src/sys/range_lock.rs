//! Locks on ranges of bytes that belong to an open file description. They serve as hints between
//! processes.
//!
//! Only Linux has them independently of `flock`. Elsewhere setting one does nothing, and a test for
//! one has no answer.

#[cfg_attr(target_os = "linux", path = "range_lock/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "range_lock/portable.rs")]
mod system;

use std::fs::File;
use std::ops::Range;

/// How a range is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Shared,
    Exclusive,
}

/// Locks a range through this descriptor, unless a lock through another one conflicts.
pub(crate) fn set(file: &File, kind: Kind, bytes: Range<i64>) {
    system::set(file, Some(kind), &bytes);
}

/// Unlocks a range that was locked through this descriptor.
pub(crate) fn clear(file: &File, bytes: Range<i64>) {
    system::set(file, None, &bytes);
}

/// Whether a lock through another descriptor conflicts with this one; `None` where the system has
/// no such locks.
pub(crate) fn is_in_the_way(file: &File, kind: Kind, bytes: Range<i64>) -> Option<bool> {
    system::is_in_the_way(file, kind, &bytes)
}
