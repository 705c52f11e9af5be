//! Commands that messages advise, with the options that name the gateway in question. Whoever
//! follows the advice may be in another directory and another environment.

use std::path::Path;

use super::owner::Owner;
use super::{GatewayBuilder, Identity};
use crate::error::shell_word;

/// `turnlock gateway <verb> --state-dir …`, and what else was set.
pub(super) fn command(verb: &str, gateway: &GatewayBuilder) -> String {
    let mut text =
        format!("turnlock gateway {verb} --state-dir {}", shell_word(&gateway.state_dir));
    for (option, path) in [("config", &gateway.config), ("lock-dir", &gateway.lock_dir)] {
        if let Some(path) = path {
            text += &format!(" --{option} {}", shell_word(path));
        }
    }
    text
}

/// How to see who has the locks.
pub(super) fn see(gateway: &GatewayBuilder) -> String {
    format!("`{}` shows the owner and the listener", command("status", gateway))
}

/// What to do about the holder of a lock, and whether more than its record says who it is.
pub(super) fn about_holder(gateway: &GatewayBuilder, lock: &Path) -> (String, bool) {
    let see = format!("see `{}`", command("status", gateway));
    let Some(owner) = Owner::at(lock).ok().flatten() else { return (see, false) };
    let (identity, here) = (owner.process.identity, owner.process.pid_here);
    match (identity, here) {
        (Identity::Verified, Some(pid)) => {
            let stop = command("stop", gateway);
            (format!("{see}, or end it with `{stop} --pid {pid}`"), true)
        }
        (Identity::Elsewhere, _) => {
            let advice = "that pid is one of another container or host: end it there";
            (format!("{see}; {advice}"), false)
        }
        _ => {
            let advice = "that pid is not verified: only the record in the lock file names it";
            (format!("{see}; {advice}"), false)
        }
    }
}
