//! The process group and the session of this process. By nix: rustix has no value for 0, which
//! stands for a group or session whose number is outside of the PID namespace.

use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};

/// Whether a process is in the process group of this one.
pub(crate) fn is_in_own_group(process: rustix::process::Pid) -> bool {
    getpgid(Some(Pid::from_raw(process.as_raw_pid()))) == Ok(getpgrp())
}

/// Whether this process is the leader of its session.
pub(crate) fn leads_own_session() -> bool {
    getsid(None) == Ok(getpid())
}
