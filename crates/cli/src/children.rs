//! The children of this process: those that it started, and those that it adopted.
//!
//! On Linux a process can ask to adopt the orphans among its descendants. Whatever a program does
//! (a shell between, two forks, a session of its own), what it leaves behind comes here. Such a
//! process knows for certain when all are gone, without relying on what they inherited.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

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

fn wait_for(options: WaitOptions) -> Waited {
    match wait(options) {
        Ok(Some((pid, status))) => Waited::Ended(pid, status),
        Err(Errno::CHILD) => Waited::Childless,
        // A signal came in between.
        Ok(None) | Err(_) => Waited::None,
    }
}

/// Asks every child, also those that are adopted meanwhile, to end, and waits until all are gone.
/// With `grace` they are killed after that time, or as soon as `hurry` says so.
pub(crate) fn see_out(grace: Option<Duration>, hurry: impl Fn() -> bool) {
    let kill_at = grace.map(|grace| Instant::now() + grace);
    let mut asked = HashSet::new();
    let mut pause = FIRST_LOOK;
    loop {
        let is_late = kill_at.is_some_and(|at| at <= Instant::now() || hurry());
        for child in list() {
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

/// The children that live, as far as they can be seen.
pub(crate) fn list() -> Vec<Pid> {
    let own = getpid();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(|pid| living_parent(*pid) == Some(own)).filter_map(Pid::from_raw).collect()
}

/// The parent of a process that has not ended.
fn living_parent(pid: i32) -> Option<Pid> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, and may be anything.
    let after = &stat[memchr::memrchr(b')', &stat)? + 1..];
    let mut fields = std::str::from_utf8(after).ok()?.split_ascii_whitespace();
    let lives = !fields.next()?.starts_with(['Z', 'X']);
    let parent = Pid::from_raw(fields.next()?.parse().ok()?)?;
    lives.then_some(parent)
}

/// `pid 12 (node gateway.mjs), pid 13`.
pub(crate) fn describe(children: &[Pid]) -> String {
    let one = |child: &Pid| {
        let pid = child.as_raw_pid();
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        match words.join(" ").trim() {
            "" => format!("pid {pid}"),
            line => format!("pid {pid} ({})", crate::output::printable(line)),
        }
    };
    children.iter().map(one).collect::<Vec<_>>().join(", ")
}
