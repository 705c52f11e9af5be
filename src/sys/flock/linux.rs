//! Who has a lock, from `/proc/locks`.

use super::FileId;

pub(super) fn holder_of(file: FileId) -> Option<u32> {
    let file = name_of(file);
    // The list is read page by page, and misses entries while other processes lock and unlock.
    (0..5).find_map(|_| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| writer_of(line, &file))
    })
}

/// The file as `/proc/locks` names it.
fn name_of(file: FileId) -> String {
    let (major, minor) = (rustix::fs::major(file.device), rustix::fs::minor(file.device));
    format!("{major:02x}:{minor:02x}:{}", file.number)
}

/// The process that has the `flock` on `file`, if this line says so.
fn writer_of(line: &str, file: &str) -> Option<u32> {
    let fields: Vec<_> = line.split_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, "WRITE", pid, named, ..] if named == file => pid.parse().ok(),
        _ => None,
    }
}
