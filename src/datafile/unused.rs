//! Temporary files that interrupted work left behind. Whoever uses one has it locked.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::rewrite::leftover_of;
use crate::error::{Context, Result};
use crate::place::Place;
use crate::sys::{Access, Dir, flock};

/// Younger files may be in use without being locked. Such work takes milliseconds.
const IN_USE: Duration = Duration::from_secs(2);

/// Removes a temporary file, unless somebody may still use it: `false`. A process that uses such a
/// file locks it right after creating it.
pub(crate) fn remove_unused(dir: &Dir, name: &OsStr) -> Result<bool> {
    let path = &dir.path().join(name);
    let Some(stat) = dir.stat(name).context("look at", path)? else { return Ok(true) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if now.checked_sub(stat.modified).is_some_and(|age| age < IN_USE) {
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

/// Removes what dead rewrites and repairs of this session left behind. What cannot be removed stays
/// for the doctor, who says why.
pub(super) fn remove_of_dead_rewrites(place: &Place) {
    let Ok(names) = place.dir().names() else { return };
    for name in names.map_while(std::io::Result::ok) {
        let session = leftover_of(Path::new(&name));
        if session.is_some_and(|session| session.as_os_str() == place.session_name()) {
            let _ = remove_unused(place.dir(), &name);
        }
    }
}
