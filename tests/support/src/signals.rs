//! Signals, for programs under test and for what they run.

use std::sync::{Arc, Once};

use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// The signals that a command under turnlock gets, by their names in a shell. Of the real-time
/// signals, some.
pub const FORWARDED: [(&str, i32); 12] = [
    ("HUP", SIGHUP),
    ("INT", SIGINT),
    ("QUIT", SIGQUIT),
    ("TERM", SIGTERM),
    ("USR1", SIGUSR1),
    ("USR2", SIGUSR2),
    ("ALRM", SIGALRM),
    ("CONT", SIGCONT),
    ("URG", SIGURG),
    ("WINCH", SIGWINCH),
    ("40", 40),
    ("64", 64),
];

/// A program in Python that says `ready`, then `told` at each SIGTERM, and `no more` at SIGUSR1. At
/// SIGUSR2 it ends with 5, and at SIGHUP it sends SIGTERM to its process group.
pub const COUNTER: &str = "\
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True))
signal.signal(signal.SIGUSR1, lambda *_: print('no more', flush=True))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(5))
signal.signal(signal.SIGHUP, lambda *_: os.kill(0, signal.SIGTERM))
signal.alarm(300)
print('ready', flush=True)
while True: signal.pause()";

/// Makes programs that are started from now on heed the signals that the tests were started to
/// ignore, under `nohup` or in the background of a script: a signal with a handler here has its
/// default action there.
pub fn heed_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
        for signal in [SIGHUP, SIGINT, SIGQUIT]
            .into_iter()
            .filter(|signal| ignored & (1 << (signal - 1)) != 0)
        {
            signal_hook::flag::register(signal, Arc::default()).unwrap();
        }
    });
}
