//! The children of this process: those that it started, and those that it adopted.
//!
//! On Linux a process can ask to adopt the orphans among its descendants. Whatever a program does
//! (a shell between, two forks, a session of its own), what it leaves behind comes here. Such a
//! process knows for certain when all are gone, without relying on what they inherited.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait, waitpid};

use crate::failure::Failure;

/// How often children that are to be killed are looked at: soon, then more rarely.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const RARELY: Duration = Duration::from_millis(100);

/// Adopts the orphans among the descendants of this process from now on.
pub(crate) fn adopt_orphans() -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid()))
        .map_err(|e| Failure::new(format!("cannot adopt what the command leaves behind: {e}")))?;
    Ok(())
}

/// A descriptor that can be read from when the child has ended. `None` where the system has none,
/// and only SIGCHLD tells. The child must not have been waited for yet.
pub(crate) fn watch(child: Pid) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    return rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty()).ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = child;
        None
    }
}

/// What waiting for a child brought.
pub(crate) enum Waited {
    Ended(Pid, WaitStatus),
    /// All that are left live.
    None,
    /// There is no child.
    Childless,
}

/// Takes note of a child that has ended.
pub(crate) fn reap() -> Waited {
    wait_for(WaitOptions::NOHANG)
}

/// Takes note of adopted orphans that have ended, and leaves `own` to whoever waits for it. Without
/// this they would stay as zombies, also where this process is the first of its PID namespace.
pub(crate) fn reap_orphans(own: Option<Pid>) {
    for child in list().into_iter().flatten().filter(|child| Some(*child) != own) {
        let _ = waitpid(Some(child), WaitOptions::NOHANG);
    }
}

fn wait_for(options: WaitOptions) -> Waited {
    match wait(options) {
        Ok(Some((pid, status))) => Waited::Ended(pid, status),
        Err(Errno::CHILD) => Waited::Childless,
        // A signal came in between.
        Ok(None) | Err(_) => Waited::None,
    }
}

/// Asks every child, also those that are adopted meanwhile, to end, and waits until all are gone.
/// With `grace` they are killed after that time, or as soon as `hurry` says so. Where children
/// cannot be seen, nobody is asked, and those who would have to be killed are not waited for.
pub(crate) fn see_out(grace: Option<Duration>, hurry: impl Fn() -> bool) {
    let kill_at = grace.map(|grace| Instant::now() + grace);
    let mut asked = HashSet::new();
    let mut pause = FIRST_LOOK;
    loop {
        let is_late = kill_at.is_some_and(|at| at <= Instant::now() || hurry());
        let children = list();
        if children.is_none() && kill_at.is_some() {
            return;
        }
        for child in children.into_iter().flatten() {
            // Not waited for yet, so that its process id is still its own.
            if is_late {
                let _ = kill_process(child, Signal::KILL);
            } else if asked.insert(child) {
                let _ = kill_process(child, Signal::TERM);
            }
        }
        if kill_at.is_some() {
            thread::sleep(pause);
            pause = RARELY.min(pause * 2);
        }
        // Whoever is not to be killed may take as long as it wants.
        let mut options =
            if kill_at.is_some() { WaitOptions::NOHANG } else { WaitOptions::empty() };
        loop {
            match wait_for(options) {
                Waited::Ended(child, _) => asked.remove(&child),
                Waited::None => break,
                Waited::Childless => return,
            };
            options = WaitOptions::NOHANG;
        }
    }
}

/// The children that have not been waited for. `None` where `/proc` does not tell, or numbers the
/// processes of another PID namespace.
fn list() -> Option<Vec<Pid>> {
    let own = getpid();
    let named = std::fs::read_link("/proc/self").ok()?;
    if named.as_os_str() != own.as_raw_pid().to_string().as_str() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    Some(pids.filter(|pid| parent_of(*pid) == Some(own)).filter_map(Pid::from_raw).collect())
}

fn parent_of(pid: i32) -> Option<Pid> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The fourth field. The second is a name in brackets, and may be anything.
    let after = &stat[memchr::memrchr(b')', &stat)? + 1..];
    let parent = std::str::from_utf8(after).ok()?.split_ascii_whitespace().nth(1)?;
    Pid::from_raw(parent.parse().ok()?)
}

/// The children that live, for people: `pid 12 (node gateway.mjs), pid 13 (sh)`. Empty if there are
/// none.
pub(crate) fn describe() -> String {
    let one = |child: Pid| {
        let pid = child.as_raw_pid();
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let line = words.join(" ");
        // One that has ended has no words.
        Some(format!("pid {pid} ({})", line.trim_end())).filter(|_| !line.is_empty())
    };
    list().into_iter().flatten().filter_map(one).collect::<Vec<_>>().join(", ")
}
