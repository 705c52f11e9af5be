//! Commands that messages advise, with the options that name the gateway in question. Whoever
//! follows the advice may be in another directory and another environment.

use std::path::Path;

use super::owner::Owner;
use super::{GatewayBuilder, Identity};

/// `turnlock gateway <verb> --state-dir …`, and what else was set.
pub(super) fn command(verb: &str, gateway: &GatewayBuilder) -> String {
    let mut text = format!("turnlock gateway {verb} --state-dir {}", word(&gateway.state_dir));
    for (option, path) in [("config", &gateway.config), ("lock-dir", &gateway.lock_dir)] {
        if let Some(path) = path {
            text += &format!(" --{option} {}", word(path));
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

/// A path as one word of a shell, from the root.
fn word(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Gateway;
    use super::*;

    #[test]
    fn a_shell_reads_back_what_is_advised() {
        for dir in ["/plain/dir-1.x", "/with space", "/it's", "/$HOME;`x`", "/ünï", "/a\nb"] {
            let advised = command("stop", &Gateway::builder(dir).config("/c d"));
            let script = format!("printf '%s|' {advised}");
            let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let words = String::from_utf8(shell.stdout).unwrap();
            assert_eq!(words, format!("turnlock|gateway|stop|--state-dir|{dir}|--config|/c d|"));
        }
    }
}
