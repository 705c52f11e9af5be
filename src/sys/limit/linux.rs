//! Holding SIGXFSZ back on Linux, where the kernel sends it to the thread that writes.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;

/// Runs a write with the signal blocked, and takes it back if it was raised.
pub(super) fn without_signal<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let signal = SigSet::from(Signal::SIGXFSZ);
    let before = signal.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let written = write();
    let is_raised = written.as_ref().is_err_and(|e| Errno::from_io_error(e) == Some(Errno::FBIG));
    // If it cannot be taken back, it stays blocked.
    if !is_raised || take_back(&signal).is_ok() {
        before.thread_set_mask()?;
    }
    written
}

/// Takes the signal back if it is pending.
fn take_back(signal: &SigSet) -> nix::Result<()> {
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    SignalFd::with_flags(signal, flags)?.read_signal().map(drop)
}
