//! The turns inside which this command runs. `turnlock run` names them to its command in an
//! environment variable.
//!
//! Each turn is its owner, directly followed by the session's path. Turns are separated by `//`,
//! which no canonical path contains.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use memchr::memmem;
use turnlock::Turn;
use uuid::Uuid;

pub(crate) const VARIABLE: &str = "TURNLOCK_TURN";
const SEPARATOR: &[u8] = b"//";

/// The owner of the enclosing turn on `session`, if there is one.
pub(crate) fn owner_of(session: &Path) -> Option<Uuid> {
    find(std::env::var_os(VARIABLE)?.as_bytes(), &canonical(session)?)
}

/// The variable's value for a command that runs inside `turn` and the turns enclosing it.
pub(crate) fn variable_for(turn: &Turn) -> OsString {
    let mut value = turn.owner().to_string().into_bytes();
    value.extend_from_slice(turn.path().as_os_str().as_bytes());
    if let Some(outer) = std::env::var_os(VARIABLE).filter(|outer| !outer.is_empty()) {
        value.extend_from_slice(SEPARATOR);
        value.extend_from_slice(outer.as_bytes());
    }
    OsString::from_vec(value)
}

fn find(turns: &[u8], session: &Path) -> Option<Uuid> {
    let mut rest = turns;
    loop {
        let (turn, outer) = match memmem::find(rest, SEPARATOR) {
            Some(at) => (&rest[..at], Some(&rest[at + SEPARATOR.len()..])),
            None => (rest, None),
        };
        let (owner, path) = turn.split_at(memchr::memchr(b'/', turn).unwrap_or(turn.len()));
        if Path::new(OsStr::from_bytes(path)) == session
            && let Ok(owner) = Uuid::try_parse_ascii(owner)
        {
            return Some(owner);
        }
        rest = outer?;
    }
}

/// The path with its directory resolved, as in a turn.
fn canonical(session: &Path) -> Option<PathBuf> {
    let dir = session.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(dir.canonicalize().ok()?.join(session.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_turn_on_a_session_is_found() {
        let [a, b, c] = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
        let turns = format!("{a}/x/s.jsonl//{b}/x/t.jsonl//{c}/x/s.jsonl");
        let found = |path: &str| find(turns.as_bytes(), Path::new(path));
        assert_eq!(found("/x/s.jsonl"), Some(a));
        assert_eq!(found("/x/t.jsonl"), Some(b));
        assert_eq!(found("/x/u.jsonl"), None);
        for bad in ["", "/", "//", "nonsense/x/s.jsonl", "\u{fffd}//////"] {
            assert_eq!(find(bad.as_bytes(), Path::new("/x/s.jsonl")), None, "{bad}");
        }
    }
}
