//! Who shares a lock, from `/proc/<pid>/fdinfo`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::process;

pub(super) fn sharers(file: &File, is_taker: impl Fn(i32) -> bool) -> io::Result<Vec<i32>> {
    if !process::proc_is_ours() {
        return Ok(Vec::new());
    }
    let wanted = id_of(&file.metadata()?);
    let processes = fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| shares(*pid, wanted, &is_taker)).collect())
}

pub(super) fn is_sharer(pid: i32, file: &File, is_taker: impl Fn(i32) -> bool) -> io::Result<bool> {
    Ok(process::proc_is_ours() && shares(pid, id_of(&file.metadata()?), &is_taker))
}

pub(super) fn may_signal(file: &File, pid: i32) -> io::Result<bool> {
    let owner = file.metadata()?.uid();
    // A process of another user shows that user; one that may not be looked into shows root.
    let user = || Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid());
    Ok(owner == 0 || user() == Some(owner))
}

pub(super) fn has_open(pid: i32, file: &File) -> io::Result<bool> {
    let wanted = id_of(&file.metadata()?);
    let is_it = |info: &str| {
        let number = info.lines().find_map(|line| line.strip_prefix("ino:"));
        number.is_some_and(|number| number.trim().parse() == Ok(wanted.1))
    };
    Ok(process::proc_is_ours() && has(pid, wanted, is_it))
}

/// The caller has the file open, so that no other file gets its number.
fn id_of(facts: &fs::Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

fn shares(pid: i32, wanted: (u64, u64), is_taker: impl Fn(i32) -> bool) -> bool {
    has(pid, wanted, |info| info.lines().filter_map(taker).any(&is_taker))
}

/// Whether a process has a descriptor of this file of which `is_it` is true, by its `fdinfo`.
fn has(pid: i32, wanted: (u64, u64), is_it: impl Fn(&str) -> bool) -> bool {
    // A process that has gone meanwhile, or that may not be looked at, has no entries.
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.map(|descriptor| descriptor.path()).any(|path| {
        // This first: to ask for the number of a file on a dead mount may take for ever.
        let info = info_of(pid, &path).unwrap_or_default();
        is_it(&info) && fs::metadata(&path).is_ok_and(|facts| id_of(&facts) == wanted)
    })
}

fn info_of(pid: i32, descriptor: &Path) -> Option<String> {
    let info = PathBuf::from(format!("/proc/{pid}/fdinfo")).join(descriptor.file_name()?);
    fs::read_to_string(info).ok()
}

/// Who took an exclusive `flock` through a descriptor, by a line of its `fdinfo`. Only the
/// descriptors of the open file that has the lock have such a line.
fn taker(line: &str) -> Option<i32> {
    let fields: Vec<_> = line.strip_prefix("lock:")?.split_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, "WRITE", pid, ..] => pid.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_tell_of_other_locks_are_not_taken_for_it() {
        assert_eq!(taker("lock:\t1: FLOCK  ADVISORY  WRITE 45 fe:00:10010865 0 EOF"), Some(45));
        for line in [
            "ino:\t10010865",
            "lock:\t1: FLOCK  ADVISORY  READ 45 fe:00:10010865 0 EOF",
            "lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:10010865 1099511627778 1099511627778",
            "lock:\t1: LEASE  ACTIVE    READ 45 fe:00:10010865 0 EOF",
            "lock:",
        ] {
            assert_eq!(taker(line), None, "{line}");
        }
    }
}
