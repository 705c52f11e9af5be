//! Signals: those that end this process, and those that it forwards to the program that it runs.
//!
//! A program must get each signal once, also when its sender signals more than turnlock. How that
//! is decided is in docs/architecture.md, "Signals to a command".

#[cfg_attr(target_os = "linux", path = "signals/kin_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "signals/kin_portable.rs")]
pub(crate) mod kin;

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, kill_process};
#[cfg(target_os = "linux")]
use rustix_libc_wrappers::process::SignalExt;
use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::Pending;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// Signals that ask a process to end.
pub(crate) const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
const OTHERS: [i32; 6] = [SIGALRM, SIGCONT, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH];

/// The real-time signals, without those that the C library keeps for itself.
#[cfg(target_os = "linux")]
fn real_time() -> RangeInclusive<i32> {
    Signal::rt_min().as_raw()..=Signal::rt_max().as_raw()
}

/// There are none.
#[cfg(not(target_os = "linux"))]
fn real_time() -> RangeInclusive<i32> {
    #[allow(clippy::reversed_empty_ranges, reason = "that is what an empty range is")]
    (1..=0)
}

/// The signal of this number.
fn numbered(signal: i32) -> Option<Signal> {
    #[cfg(target_os = "linux")]
    return Signal::from_raw(signal);
    #[cfg(not(target_os = "linux"))]
    return Signal::from_named_raw(signal);
}

/// Within this time a signal to all processes of a group or of a service has reached each of them.
pub(crate) const BROADCAST: Duration = Duration::from_millis(50);

/// Whether nothing in this process handles the signals that ask it to end.
static UNHANDLED: AtomicBool = AtomicBool::new(true);

/// Has the first process of a PID namespace end when it is asked to, as any other process would.
/// The kernel does not end it by a signal that it does not handle.
pub(crate) fn end_also_as_first_process() -> io::Result<()> {
    if !getpid().is_init() {
        return Ok(());
    }
    let ignored = ignored();
    for signal in ENDING.into_iter().filter(|signal| ignored & bit(*signal) == 0) {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, &UNHANDLED)?;
    }
    Ok(())
}

/// To be called before this process handles signals that ask it to end.
pub(crate) fn will_be_handled() {
    UNHANDLED.store(false, Ordering::SeqCst);
}

/// Signals that this process has caught. They no longer end it.
pub(crate) struct Caught(SignalDelivery<UnixStream, WithOrigin>);

/// Catches the signals to forward, and those in `more`. Signals that were ignored at the start of
/// this process (`nohup`) stay ignored, also by the program.
pub(crate) fn catch(more: &[i32]) -> io::Result<Caught> {
    let ignored = ignored();
    let forwarded = ENDING.into_iter().chain(OTHERS).chain(real_time());
    let wanted = forwarded.filter(|signal| ignored & bit(*signal) == 0);
    let (read, write) = UnixStream::pair()?;
    let wanted = wanted.chain(more.iter().copied());
    let caught = SignalDelivery::with_pipe(read, write, WithOrigin::default(), wanted)?;
    will_be_handled();
    Ok(Caught(caught))
}

impl Caught {
    /// Waits until signals have come or `child`, a pidfd, has ended. Returns the signals, which may
    /// be none.
    pub(crate) fn wait(&mut self, child: Option<&OwnedFd>) -> io::Result<Pending<WithOrigin>> {
        let mut watched = vec![PollFd::new(self.0.get_read(), PollFlags::IN)];
        watched.extend(child.map(|child| PollFd::new(child, PollFlags::IN)));
        match poll(&mut watched, None) {
            Ok(_) | Err(Errno::INTR) => Ok(self.0.pending()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a signal is one of those that are forwarded.
fn is_for_programs(signal: i32) -> bool {
    ENDING.contains(&signal) || OTHERS.contains(&signal) || real_time().contains(&signal)
}

/// How long a signal must wait before it is forwarded to the reaper. A signal that all get must
/// reach the reaper first from its sender: of two that are pending, the kernel keeps the first.
pub(crate) fn pause_before(origin: &Origin) -> Duration {
    if is_for_programs(origin.signal) && origin.cause != Cause::Kernel {
        BROADCAST
    } else {
        Duration::ZERO
    }
}

/// Forwards a signal to a process, unless a terminal has sent it to that process too. The process
/// must not have been waited for yet, so that its process id is still its own.
pub(crate) fn pass_on(origin: &Origin, program: Pid) {
    if let Some(signal) = numbered(origin.signal)
        && is_for_programs(origin.signal)
        && !is_typed_for(origin, program)
    {
        let _ = kill_process(program, signal);
    }
}

/// A key typed at the terminal signals the whole foreground group. The program must not get it
/// twice, since two interrupts may mean something else to it. But a hangup goes to the session
/// leader alone, which this process may be in a container.
fn is_typed_for(origin: &Origin, program: Pid) -> bool {
    let sent_to_leader = || origin.signal == SIGHUP && kin::leads_own_session();
    origin.cause == Cause::Kernel && kin::is_in_own_group(program) && !sent_to_leader()
}

/// Whether a process has a handler for a signal, or keeps it blocked to take it later. Without
/// either, a second signal of that kind means nothing to it.
pub(crate) fn handles(process: Pid, signal: i32) -> bool {
    let status = status_of(&process.as_raw_pid().to_string());
    ["SigCgt:", "SigBlk:"].iter().any(|name| mask(&status, name) & bit(signal) != 0)
}

/// The signals that this process ignores, as bits. None where the system does not say.
pub(crate) fn ignored() -> u64 {
    mask(&status_of("self"), "SigIgn:")
}

fn status_of(process: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default()
}

fn mask(status: &str, name: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix(name));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

pub(crate) const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}
