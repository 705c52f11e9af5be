//! Signals that the tests were started to ignore, under `nohup` or in the background of a script: a
//! program that they start would ignore them as well.

use std::sync::{Arc, Once};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT};

/// Makes programs that are started from now on heed them: a signal with a handler here has its
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
