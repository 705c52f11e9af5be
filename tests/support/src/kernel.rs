//! Facts about processes and locks, as the kernel tells them in `/proc`.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Number of processes that block in `flock` on this file.
pub fn kernel_waiters(path: &Path) -> usize {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let waiter = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "->", "FLOCK", _, _, pid, named, ..] if named == file => Some(pid.to_owned()),
        _ => None,
    };
    // While others lock and unlock, the list may show an entry twice, or not at all.
    locks.lines().filter_map(waiter).collect::<HashSet<_>>().len()
}

/// Whether somebody with a lease on this file is asked to give it back.
pub fn lease_is_asked_back(path: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    let file = format!(":{}", metadata.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        matches!(fields[..], [_, "LEASE", "BREAKING", _, _, named, ..] if named.ends_with(&file))
    })
}

/// Number of threads of this process that have this name.
pub fn threads_named(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let named = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|it| it.trim_end() == name)
    };
    tasks.filter(|task| named(task.as_ref().unwrap())).count()
}

/// Number of threads of this process that wait for a disk, and cannot even be killed.
pub fn threads_stuck() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map_while(Result::ok);
    let is_stuck = |task: &fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('D'))
    };
    tasks.filter(is_stuck).count()
}

/// Number of threads and of descriptors of this process.
pub fn census() -> (usize, usize) {
    let count = |dir: &str| fs::read_dir(dir).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Start time of a process, in clock ticks since the boot: field 22 of its `stat`.
pub fn start_time_of(pid: u32) -> u64 {
    fields(pid).expect("a process").split(' ').nth(19).unwrap().parse().unwrap()
}

/// State of a process: `T` for stopped, `Z` for a zombie, and so on; `None` if there is none.
pub fn state_of(pid: u32) -> Option<char> {
    fields(pid)?.chars().next()
}

/// Parent of a process; `None` if there is no such process.
pub fn parent_of(pid: u32) -> Option<u32> {
    fields(pid)?.split(' ').nth(1)?.parse().ok()
}

/// The fields of a process's `stat` from the third on: those behind its name.
fn fields(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat[stat.rfind(')')? + 2..].to_owned())
}
