//! The process group and the session of this process.

use rustix::process::{Pid, getpgid, getpgrp, getpid, getsid};

/// Whether a process is in the process group of this one.
pub(crate) fn is_in_own_group(process: Pid) -> bool {
    getpgid(Some(process)) == Ok(getpgrp())
}

/// Whether this process is the leader of its session.
pub(crate) fn leads_own_session() -> bool {
    getsid(None) == Ok(getpid())
}
