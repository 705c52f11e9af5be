//! Which signals the program has got by itself.
//!
//! Whoever wants to signal the program signals turnlock, which forwards the signal to this process.
//! Whoever signals all processes of a group or of a service reaches this process too, and perhaps
//! the program. So a signal that comes here from elsewhere tells that turnlock's copy of it, which
//! comes a moment later, is not to be forwarded; and it is forwarded itself if it did not reach the
//! program. Of two copies that the kernel makes one, the first is kept, and it was counted.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::signals::{self, kin};

/// turnlock forwards a signal within this time, also on a busy machine.
const FORWARDED: Duration = signals::BROADCAST.saturating_mul(10);

/// The signals that came from elsewhere, that turnlock has got too, and when.
#[derive(Default)]
pub(super) struct Heard(Vec<(i32, Instant)>);

impl Heard {
    /// Whether a signal that has come is to be forwarded.
    pub(super) fn is_for(&mut self, program: Pid, origin: &Origin, turnlock: Pid) -> bool {
        let sender = origin.process.as_ref().and_then(|process| Pid::from_raw(process.pid));
        if origin.cause == Cause::Kernel {
            return true;
        }
        self.0.retain(|(_, at)| at.elapsed() < FORWARDED);
        if sender == Some(turnlock) {
            return !self.take(origin.signal);
        }
        // What the program sends to its own group, turnlock gets only if it is in that.
        if !is_here(sender) || is_here(Some(turnlock)) {
            self.0.push((origin.signal, Instant::now()));
        }
        !(signals::handles(program, origin.signal) && is_reached(program, sender, turnlock))
    }

    /// Takes out one that turnlock has got too.
    fn take(&mut self, signal: i32) -> bool {
        let found = self.0.iter().position(|(heard, _)| *heard == signal);
        found.map(|at| self.0.remove(at)).is_some()
    }
}

fn is_here(process: Option<Pid>) -> bool {
    process.is_some_and(kin::is_in_own_group)
}

/// Whether the program got what came here from this sender.
fn is_reached(program: Pid, sender: Option<Pid>, turnlock: Pid) -> bool {
    // The program's own `kill 0` comes from inside the group.
    let to_the_group = is_here(Some(program)) && (is_here(Some(turnlock)) || is_here(sender));
    to_the_group || is_from_manager(program, sender)
}

/// systemd signals each process of the service's control group, whatever its process group.
fn is_from_manager(program: Pid, sender: Option<Pid>) -> bool {
    let text = |process: &str, file: &str| {
        std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default()
    };
    let is_systemd =
        sender.is_some_and(|sender| text(&sender.as_raw_pid().to_string(), "comm") == "systemd\n");
    let own = text("self", "cgroup");
    is_systemd && !own.is_empty() && own == text(&program.as_raw_pid().to_string(), "cgroup")
}
