//! Who keeps the data lock, for messages.

use crate::place::{Place, stat_named};

/// The process that is inside an append, where the system tells.
pub(crate) fn who_is_inside(place: &Place) -> Option<u32> {
    let stat = stat_named(place.session()).ok()??;
    let wanted = format!(
        "{:02x}:{:02x}:{}",
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
        stat.st_ino
    );
    // The list comes page by page, and while others lock and unlock one or the other entry is skipped.
    (0..5).find_map(|_| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| writer_of(line, &wanted))
    })
}

/// Who has the `flock` on this file, if a line of `/proc/locks` says so.
fn writer_of(line: &str, file: &str) -> Option<u32> {
    let fields: Vec<_> = line.split_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, "WRITE", pid, named, ..] if named == file => pid.parse().ok(),
        _ => None,
    }
}
