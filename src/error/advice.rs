//! What to do about a lock that somebody has: commands that can be run as they stand, wherever one
//! is.

use std::fmt;
use std::path::Path;

use super::Holder;

/// A path as one word of a shell, from the root.
pub(crate) fn shell_word(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    quoted(&path.to_string_lossy())
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// How to take the session of a lock from its holder, if the holder has a fence.
pub(crate) fn revoke(lock: &Path, holder: &Holder) -> Option<String> {
    let owner = holder.owner.filter(|_| !holder.foreign)?;
    Some(format!("turnlock revoke --owner {owner} {}", shell_word(&lock.with_extension(""))))
}

/// What to do about a lock of another host, if that host is gone.
pub(crate) struct IfHostIsGone<'a>(pub(crate) &'a Path, pub(crate) &'a Holder);

impl fmt::Display for IfHostIsGone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lock, holder) = *self;
        let Some(revoke) = revoke(lock, holder) else {
            return f.write_str("if that program is gone, remove this file");
        };
        write!(f, "if that host is gone, remove the lock with `{revoke}`")?;
        let (Some(host), Some(dir)) = (&holder.host, lock.parent()) else { return Ok(()) };
        let (host, dir) = (quoted(host), shell_word(dir));
        write!(f, ", or all that it left there with `turnlock revoke --host-is-gone {host} {dir}`")
    }
}

/// What whoever wants the session can do.
pub(super) struct ToGetIt<'a>(pub(super) &'a Path, pub(super) Option<&'a Holder>);

impl fmt::Display for ToGetIt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lock, holder) = *self;
        match holder {
            Some(holder) if holder.foreign && !holder.this_process => {
                f.write_str("wait longer, or ")?;
                AgainstForeign(lock, holder).fmt(f)
            }
            Some(holder)
                if !holder.this_process
                    && let Some(revoke) = revoke(lock, holder) =>
            {
                let first = if holder.ended { "end what it started" } else { "wait longer" };
                write!(f, "{first}, or take the session away with `{revoke}`")
            }
            _ => {
                let session = shell_word(&lock.with_extension(""));
                write!(f, "wait longer, or see `turnlock status {session}`")
            }
        }
    }
}

/// What to do about a program without a fence.
pub(super) struct AgainstForeign<'a>(pub(super) &'a Path, pub(super) &'a Holder);

impl fmt::Display for AgainstForeign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lock, holder) = *self;
        match (holder.unseen, holder.host_pid.or(holder.pid)) {
            (true, _) => write!(
                f,
                "if no other container or host uses this directory, remove its lock with \
                 `turnlock doctor --fix --assume-local {}`",
                shell_word(&lock.with_extension(""))
            ),
            (false, Some(pid)) => write!(
                f,
                "end that process with `kill {pid}`, and its lock is taken over automatically: \
                 nothing else takes a session from a program without a fence"
            ),
            (false, None) => f.write_str("end that process, and its lock is taken over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_is_advised() {
        for path in ["/plain/dir-1.x", "/with space", "/it's", "/$HOME;`x`", "/ünï", "/a\nb", "/*"]
        {
            let script = format!("printf %s {}", shell_word(Path::new(path)));
            let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(shell.stdout).unwrap(), path);
        }
    }
}
