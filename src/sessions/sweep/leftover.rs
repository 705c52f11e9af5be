//! Leftovers: temporary files that interrupted work left beside the sessions.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::look::split;
use crate::datafile::{SOON, Section, is_leftover, leftover_of, remove_unused};
use crate::error::{Context, Result};
use crate::lock::{self, Swept};
use crate::place::{Place, open_shared};
use crate::rules::Rules;
use crate::sys::Dir;

/// A temporary file that interrupted work left behind, by what it was to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Leftover {
    /// The new session file of an interrupted rewrite or repair.
    Rewrite,
    /// A lock file that was never published.
    Lock,
    /// A file with which the locks of a filesystem were probed.
    Probe,
}

impl Leftover {
    /// Recognises a leftover by its name.
    pub(crate) fn of(name: &OsStr) -> Option<Self> {
        let bytes = name.as_encoded_bytes();
        if is_leftover(name) {
            Some(Self::Rewrite)
        } else if let Some(rest) = bytes.strip_prefix(b".turnlock-probe-") {
            is_uuid(rest.get(..36)?).then_some(Self::Probe)
        } else {
            let rest = bytes.strip_prefix(b".turnlock-")?.strip_suffix(b".tmp")?;
            is_uuid(rest).then_some(Self::Lock)
        }
    }
}

fn is_uuid(bytes: &[u8]) -> bool {
    Uuid::try_parse_ascii(bytes).is_ok()
}

/// The session that the leftover of a rewrite belongs to, if its name says so.
pub(crate) fn session_of(path: &Path) -> Option<PathBuf> {
    leftover_of(path)
}

/// Removes the leftover at a path, which may be gone already. See [`remove`].
pub(crate) fn remove_at(path: &Path, rules: &Rules) -> Result<bool> {
    let Some((dir, name)) = split(path) else { return Ok(false) };
    if Leftover::of(name).is_none() {
        return Ok(false);
    }
    match open_shared(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && session_of(path).is_none() => Ok(true),
        opened => remove(&opened.context("find the directory", &dir)?, name, rules),
    }
}

/// Removes a leftover from a directory. Returns `false` if somebody may still use it. Does nothing
/// to other files.
pub(crate) fn remove(dir: &Arc<Dir>, name: &OsStr, rules: &Rules) -> Result<bool> {
    match (session_of(Path::new(name)), Leftover::of(name)) {
        (Some(session), _) => remove_rewrite(dir, name, session.as_os_str(), rules),
        (None, Some(_)) => remove_unused(dir, name),
        (None, None) => Ok(false),
    }
}

fn remove_rewrite(dir: &Arc<Dir>, name: &OsStr, session: &OsStr, rules: &Rules) -> Result<bool> {
    let place = Place::of_session_in(dir, session);
    let Some(mut data) = Section::lock_within(SOON, &place, true)? else { return Ok(false) };
    match lock::remove_stale(&place, &mut data, rules)? {
        Swept::Kept(_) => Ok(false),
        Swept::Removed(_) | Swept::Gone => {
            data.discard_unused(false, || Ok(()));
            dir.remove(name).context("remove", &dir.path().join(name))?;
            Ok(true)
        }
    }
}
