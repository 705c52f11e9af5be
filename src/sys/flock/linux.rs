//! Who has a lock, from `/proc/locks`.

use super::{BlockedBy, Blocker, FileId};

pub(super) fn blocker_of(file: FileId) -> Option<Blocker> {
    let file = name_of(file);
    // The list is read page by page, and misses entries while other processes lock and unlock.
    (0..5).find_map(|_| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| blocker_in(line, &file))
    })
}

/// The file as `/proc/locks` names it.
fn name_of(file: FileId) -> String {
    let (major, minor) = (rustix::fs::major(file.device), rustix::fs::minor(file.device));
    format!("{major:02x}:{minor:02x}:{}", file.number)
}

/// The process that keeps others from the lock on `file`, if this line tells of one. What waits has
/// an arrow in its line.
fn blocker_in(line: &str, file: &str) -> Option<Blocker> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [_, kind, state, access, pid, named, ..] = fields[..] else { return None };
    if named != file {
        return None;
    }
    let by = match (kind, access) {
        ("FLOCK", "WRITE") => BlockedBy::Lock,
        ("FLOCK", "READ") => BlockedBy::SharedLock,
        ("LEASE" | "DELEG", _) if state != "BREAKER" => BlockedBy::Lease,
        _ => return None,
    };
    // A process that cannot be seen from here has the number 0 or a negative one.
    let pid = pid.parse().ok().filter(|pid| *pid > 0)?;
    Some(Blocker { pid, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_a_lock_is_told_by_the_lines_of_the_kernel() {
        let kept =
            |line: &str| blocker_in(line, "fd:01:42").map(|blocker| (blocker.pid, blocker.by));
        let lock = "1: FLOCK  ADVISORY  WRITE 7 fd:01:42 0 EOF";
        assert_eq!(kept(lock), Some((7, BlockedBy::Lock)));
        let shared = "12: FLOCK  ADVISORY  READ  8 fd:01:42 0 EOF";
        assert_eq!(kept(shared), Some((8, BlockedBy::SharedLock)));
        for state in ["ACTIVE  ", "BREAKING"] {
            let lease = format!("3: LEASE  {state}  READ  9 fd:01:42 0 EOF");
            assert_eq!(kept(&lease), Some((9, BlockedBy::Lease)));
        }
        for other in [
            "1: FLOCK  ADVISORY  WRITE 7 fd:01:43 0 EOF",
            "1: -> FLOCK  ADVISORY  WRITE 7 fd:01:42 0 EOF",
            "1: OFDLCK ADVISORY  READ -1 fd:01:42 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 0 fd:01:42 0 EOF",
        ] {
            assert_eq!(kept(other), None);
        }
    }
}
