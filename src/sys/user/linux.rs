//! User namespaces.

use std::fs::read_to_string;

/// The number by which the kernel shows users who have none, unless it was set to another.
const NOBODY: u32 = 65_534;

/// Whether this number is shown for users who have none in this namespace.
pub(super) fn may_stand_for_others(number: u32) -> bool {
    let nobody = read_to_string("/proc/sys/kernel/overflowuid")
        .ok()
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(NOBODY);
    number == nobody && !all_have_numbers()
}

/// Whether every user has a number here, as outside of all namespaces.
fn all_have_numbers() -> bool {
    let map = read_to_string("/proc/self/uid_map");
    map.is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}
