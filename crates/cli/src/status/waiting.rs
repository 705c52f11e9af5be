//! The processes of this machine that wait for locks. Linux lists them in `/proc/locks`, marked by
//! an arrow.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Waiting processes, by the file that they wait for.
#[derive(Default)]
pub(super) struct Waiting(HashMap<String, Vec<u32>>);

impl Waiting {
    /// The current list. Empty where the system has none.
    pub(super) fn now() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/locks").unwrap_or_default())
    }

    /// `7: -> FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`
    fn parse(list: &str) -> Self {
        let mut waiting: HashMap<String, Vec<u32>> = HashMap::new();
        for line in list.lines() {
            let fields: Vec<_> = line.split_whitespace().collect();
            if let [_, "->", "FLOCK", _, _, pid, file, ..] = fields[..]
                && let Ok(pid) = pid.parse()
            {
                let pids = waiting.entry(file.to_owned()).or_default();
                // The list may repeat entries if it changes while it is read.
                if !pids.contains(&pid) {
                    pids.push(pid);
                }
            }
        }
        Self(waiting)
    }

    /// The processes that wait for this lock file.
    pub(super) fn for_lock(&self, lock: &Path) -> &[u32] {
        let Ok(facts) = lock.symlink_metadata() else { return &[] };
        let (major, minor) = (rustix::fs::major(facts.dev()), rustix::fs::minor(facts.dev()));
        self.0.get(&format!("{major:02x}:{minor:02x}:{}", facts.ino())).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_ones_are_found_and_counted_once() {
        let list = "\
            1: FLOCK  ADVISORY  WRITE 10 fe:00:99 0 EOF\n\
            1: -> FLOCK  ADVISORY  WRITE 11 fe:00:99 0 EOF\n\
            1: -> FLOCK  ADVISORY  WRITE 12 fe:00:99 0 EOF\n\
            1: -> FLOCK  ADVISORY  WRITE 11 fe:00:99 0 EOF\n\
            2: POSIX  ADVISORY  READ 13 fe:00:98 0 0\n2: -> garbage\n";
        let waiting = Waiting::parse(list);
        assert_eq!(waiting.0["fe:00:99"], [11, 12]);
        assert_eq!(waiting.0.len(), 1);
    }
}
