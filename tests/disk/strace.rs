//! The system calls of a script, and faults at each of them, injected from outside by `strace`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::player::{Played, Player};
use crate::script::Script;

/// A system call of a player: the n-th of its name since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub call: String,
    pub nth: usize,
}

/// Calls about memory, threads and time, at which a cut or a fault means nothing, and the call by
/// which a player tells.
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
    "uname",
    "prlimit64",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
];

/// An `strace` of a player, which ends with the player.
struct Tracer(Child);

impl Tracer {
    /// Traces a player that has not been let go yet, and then lets it go.
    fn attach(player: &Player, options: &[&str]) -> Result<Self, String> {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &player.pid().to_string()]).args(options);
        let mut strace = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut line = String::new();
        let mut said = BufReader::new(strace.stderr.take().expect("it is piped"));
        said.read_line(&mut line).map_err(|e| e.to_string())?;
        if !line.contains("attached") {
            let _ = strace.wait();
            return Err(line);
        }
        // What it says about later threads is not read; there are few.
        strace.stderr = Some(said.into_inner());
        player.let_go();
        Ok(Self(strace))
    }

    fn ended(mut self) {
        self.0.wait().expect("a child of ours");
    }
}

/// Whether there is an `strace` that may trace.
pub fn is_there() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let player = Player::start(Script::PostCreating, &dir.path().join("s.jsonl"), 0);
    let attached = Tracer::attach(&player, &["-o", "/dev/null", "-e", "trace=none"]);
    player.let_go();
    player.ended();
    match attached {
        Ok(tracer) => tracer.ended(),
        Err(why) => {
            eprintln!("skipped: no strace that may trace: {why}");
            return false;
        }
    }
    true
}

/// The calls of a script, in order, on the thread that plays it.
pub fn sites(script: Script, session: &Path, log: &Path) -> Vec<Site> {
    let player = Player::start(script, session, 0);
    let tracer = Tracer::attach(&player, &["-o", log.to_str().unwrap()]).unwrap();
    let played = player.ended();
    tracer.ended();
    assert!(played.status.success(), "{script:?}: {}", String::from_utf8_lossy(&played.said));
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
pub fn play(script: Script, session: &Path, pass: usize, site: &Site, fault: &str) -> Played {
    let Site { call, nth } = site;
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{fault}:when={nth}");
    let player = Player::start(script, session, pass);
    let tracer =
        Tracer::attach(&player, &["-o", "/dev/null", "-e", &trace, "-e", &inject]).unwrap();
    let played = player.ended();
    tracer.ended();
    played
}
