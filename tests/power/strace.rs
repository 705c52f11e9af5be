//! The system calls of a script, and faults at each of them, put there from outside by `strace`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use crate::script::{Script, player};

/// A system call of a player: the n-th of its name since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub call: String,
    pub nth: usize,
}

/// Calls about memory, threads and time, at which nothing can be cut or fail; and the one by which a player tells.
const APART: &[&str] = &[
    "writev",
    "mmap",
    "munmap",
    "mremap",
    "brk",
    "mprotect",
    "madvise",
    "futex",
    "clone",
    "clone3",
    "exit",
    "exit_group",
    "rseq",
    "set_robust_list",
    "rt_sigprocmask",
    "rt_sigaction",
    "rt_sigreturn",
    "sigaltstack",
    "sched_yield",
    "sched_getaffinity",
    "clock_nanosleep",
    "prctl",
    "restart_syscall",
    "getrandom",
    "gettid",
    "getpid",
    "epoll_wait",
    "epoll_pwait",
    "clock_gettime",
];

/// Whether there is an `strace` that may trace.
pub fn is_there() -> bool {
    let there = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: no strace, or no right to trace");
    }
    there
}

/// The calls of a script, in order, on the thread that plays it.
pub fn sites(script: Script, session: &Path, log: &Path) -> Vec<Site> {
    let through = ["strace", "-f", "-qq", "-o", log.to_str().unwrap()].map(String::from);
    let output = player(&through, script, session, 0).output().unwrap();
    assert!(output.status.success(), "{script:?}: {}", String::from_utf8_lossy(&output.stderr));
    of_log(&std::fs::read_to_string(log).unwrap())
}

fn of_log(log: &str) -> Vec<Site> {
    let began = |line: &&str| line.contains("writev(") && line.contains("Ready");
    let thread = log.lines().find(began).expect("the player was ready").split(' ').next().unwrap();
    let mut counts = BTreeMap::new();
    let mut sites = Vec::new();
    let mut ready = false;
    for line in log.lines().filter_map(|line| line.strip_prefix(thread)) {
        let Some((call, rest)) = line.trim_start().split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = counts.entry(call.to_owned()).and_modify(|n| *n += 1).or_insert(1);
        if call == "writev" {
            ready |= rest.contains("Ready");
            if rest.contains("@\\\"End") {
                break;
            }
        }
        if ready && !APART.contains(&call) {
            sites.push(Site { call: call.to_owned(), nth: *nth });
        }
    }
    sites
}

/// Plays a script with this fault (in strace's words) at one call.
pub fn play(script: Script, session: &Path, pass: usize, site: &Site, fault: &str) -> Output {
    let Site { call, nth } = site;
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{fault}:when={nth}");
    let through =
        ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", &trace, "-e", &inject].map(String::from);
    player(&through, script, session, pass).output().unwrap()
}
