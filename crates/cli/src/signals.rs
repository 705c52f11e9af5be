//! Forwards the signals that turnlock gets to the program that it runs.

use std::io;

use rustix::process::{Pid, Signal, getpgid, getpgrp, getpid, getsid, kill_process};
use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// Signals that ask a process to end.
pub(crate) const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
const OTHERS: [i32; 6] = [SIGALRM, SIGCONT, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH];

/// Catches the signals to forward, and those in `more`. They no longer end this process. Signals
/// that were ignored at its start (`nohup`) stay ignored, also by the program.
pub(crate) fn catch(more: &[i32]) -> io::Result<SignalsInfo<WithOrigin>> {
    let ignored = ignored();
    let wanted =
        ENDING.into_iter().chain(OTHERS).filter(|signal| ignored & (1 << (signal - 1)) == 0);
    SignalsInfo::new(wanted.chain(more.iter().copied()))
}

/// Whether a signal is one of those that are forwarded.
pub(crate) fn is_for_programs(signal: i32) -> bool {
    ENDING.contains(&signal) || OTHERS.contains(&signal)
}

/// Forwards a signal to the program, unless it has reached the program too. The program must not
/// have been waited for yet, so that its process id is still its own.
pub(crate) fn pass_on(origin: &Origin, program: Pid) {
    if let Some(signal) = Signal::from_named_raw(origin.signal)
        && is_for_programs(origin.signal)
        && !has_it_already(origin, program)
    {
        let _ = kill_process(program, signal);
    }
}

/// A key typed at the terminal signals the whole foreground group. The program must not get it
/// twice, since two interrupts may mean something else to it. But a hangup goes to the session
/// leader alone, which this process may be in a container.
fn has_it_already(origin: &Origin, program: Pid) -> bool {
    let sent_to_leader = || origin.signal == SIGHUP && getsid(None) == Ok(getpid());
    origin.cause == Cause::Kernel && getpgid(Some(program)) == Ok(getpgrp()) && !sent_to_leader()
}

/// Bit N-1 for each signal N that this process ignores. 0 where the system does not say.
pub(crate) fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
