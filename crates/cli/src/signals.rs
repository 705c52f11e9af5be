//! The signals that turnlock gets while a program of its own runs: they are for that program.

use std::io;

use rustix::process::{Pid, Signal, getpgid, getpgrp, getpid, getsid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// Those by which a process is told to end.
pub(crate) const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
const OTHERS: [i32; 2] = [SIGUSR1, SIGUSR2];

/// From now on the signals that are passed on no longer end this process; `more` are told of beside them. Those that it was started to
/// ignore (`nohup`) stay ignored, by the program too.
pub(crate) fn catch(more: &[i32]) -> io::Result<SignalsInfo<WithOrigin>> {
    let ignored = ignored();
    let wanted =
        ENDING.into_iter().chain(OTHERS).filter(|signal| ignored & (1 << (signal - 1)) == 0);
    SignalsInfo::new(wanted.chain(more.iter().copied()))
}

/// Sends the program what has reached this process, unless that has reached the program too. It must not have been waited for,
/// so that its id is still its own.
pub(crate) fn pass_on(origin: &Origin, program: Pid) {
    let is_for_it = ENDING.contains(&origin.signal) || OTHERS.contains(&origin.signal);
    if let Some(signal) = Signal::from_named_raw(origin.signal)
        && is_for_it
        && !has_it_already(origin, program)
    {
        let _ = kill_process(program, signal);
    }
}

/// A key pressed on the terminal signals its whole foreground group, the program included: twice would mean something else to it.
/// But a terminal that hangs up tells the leader of its session alone, which is what this process is in a container.
fn has_it_already(origin: &Origin, program: Pid) -> bool {
    let told_alone = || origin.signal == SIGHUP && getsid(None) == Ok(getpid());
    origin.cause == Cause::Kernel && getpgid(Some(program)) == Ok(getpgrp()) && !told_alone()
}

/// Bit N-1 for each signal N that this process ignores; none where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
