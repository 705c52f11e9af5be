//! The signals that turnlock gets while its command runs.

use std::io;
use std::process::Child;

use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

const FORWARDED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

pub(super) struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// From now on they no longer end this process. Those that it was started to ignore (`nohup`) stay ignored, by the command too.
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = FORWARDED.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        SignalsInfo::new(wanted.chain([SIGCHLD])).map(Self)
    }

    /// Waits for a signal, one from the child included, and forwards it.
    pub(super) fn forward_to(&mut self, child: &Child) {
        for origin in self.0.wait() {
            let signal = Signal::from_named_raw(origin.signal);
            if let Some(signal) = signal
                && origin.signal != SIGCHLD
                && !has_it_already(&origin, child)
            {
                // It has not been waited for, so that its id is still its own.
                let _ = kill_process(Pid::from_child(child), signal);
            }
        }
    }
}

/// A key pressed on the terminal signals its whole foreground group, the command included: twice would mean something else to it.
fn has_it_already(origin: &Origin, child: &Child) -> bool {
    origin.cause == Cause::Kernel && getpgid(Some(Pid::from_child(child))) == Ok(getpgrp())
}

/// Bit N-1 for each signal N that this process ignores; none where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
