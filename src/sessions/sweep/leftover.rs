//! What interrupted work leaves behind beside the sessions.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use super::look::split;
use crate::datafile::{SOON, Section, is_leftover, leftover_of};
use crate::error::{Context, Result};
use crate::lock::{self, Swept};
use crate::place::{Place, open_shared};
use crate::rules::Rules;
use crate::sys::{Access, flock};

/// What a leftover was to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Leftover {
    /// A session's new file, of a rewrite or repair that did not come to its end.
    Rewrite,
    /// A lock file that was never published.
    Lock,
    /// A file with which a filesystem's locks were tried.
    Probe,
}

/// Work on a probe's files takes milliseconds; younger ones may still be in use.
const PROBE_LASTS: Duration = Duration::from_secs(2);

impl Leftover {
    /// What a file of this name is, if it is one of those.
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

/// The session that a leftover rewrite belongs to, if its name tells.
pub(crate) fn session_of(path: &Path) -> Option<PathBuf> {
    leftover_of(path)
}

/// Removes a leftover; `false` while somebody may still work with it.
pub(crate) fn remove(path: &Path, rules: &Rules) -> Result<bool> {
    match (session_of(path), path.file_name().and_then(Leftover::of)) {
        (Some(session), _) => remove_rewrite(path, &session, rules),
        (None, Some(_)) => remove_unlocked(path),
        (None, None) => Ok(false),
    }
}

fn remove_rewrite(path: &Path, session: &Path, rules: &Rules) -> Result<bool> {
    let place = Place::resolve(session, false)?;
    let Some(mut data) = Section::lock_within(SOON, &place, true)? else { return Ok(false) };
    match lock::remove_stale(&place, &mut data, rules)? {
        Swept::Kept => Ok(false),
        Swept::Removed(_) | Swept::Gone => {
            data.discard_unused(false, || Ok(()));
            std::fs::remove_file(path).context("remove", path)?;
            Ok(true)
        }
    }
}

/// Whoever works with such a file has locked it right after making it.
fn remove_unlocked(path: &Path) -> Result<bool> {
    let Some((dir, name)) = split(path) else { return Ok(true) };
    let dir = match open_shared(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened.context("find the directory", &dir)?,
    };
    let Some(stat) = dir.stat(name).context("look at", path)? else { return Ok(true) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if now.checked_sub(stat.modified).is_some_and(|age| age < PROBE_LASTS) {
        return Ok(false);
    }
    let file = dir.open_file(name, Access::ReadWrite).context("open", path)?;
    if !flock::try_lock(&file).context("lock", path)? {
        return Ok(false);
    }
    let removed = dir.remove(name).context("remove", path);
    flock::unlock(&file);
    removed.map(|()| true)
}
