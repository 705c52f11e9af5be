//! Whether a file's name is on disk. A new file survives the loss of power only once its directory
//! was synced.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::sync::LazyLock;

use parking_lot::Mutex;

use crate::place::Place;
use crate::sys::{Pinned, Trace, filesystem};

/// A name that is on disk. The directory and the file need not be open: their traces tell them.
#[derive(PartialEq, Eq, Hash)]
struct SyncedName {
    dir: Trace,
    name: OsString,
    file: Trace,
}

/// The names that this process knows to be on disk.
static SYNCED: LazyLock<Mutex<HashSet<SyncedName>>> = LazyLock::new(Mutex::default);
/// When there are so many, they are forgotten, at the cost of one more sync for each.
const MOST_SYNCED: usize = 1 << 16;

/// Syncs the directory with the first synced append that this process makes to the file. Whoever
/// created the file may have died before it did so.
pub(super) fn sync_directory_once(session: &Pinned, place: &Place) -> io::Result<()> {
    let name = name_of(session, place);
    if let Some(name) = &name
        && SYNCED.lock().contains(name)
    {
        return Ok(());
    }
    place.dir().sync(session.file())?;
    if let Some(name) = name {
        let mut synced = SYNCED.lock();
        if synced.len() >= MOST_SYNCED {
            synced.clear();
        }
        synced.insert(name);
    }
    Ok(())
}

/// The name, if it can be told from those of all later files. `None` for what is so young that
/// another file could be taken for it, and where a server tells the times.
fn name_of(session: &Pinned, place: &Place) -> Option<SyncedName> {
    if !filesystem::is_local(place.dir()) {
        return None;
    }
    let (dir, file) = (place.dir().trace()?, session.trace()?);
    let name = place.session_name().to_owned();
    (dir.is_unique() && file.is_unique()).then_some(SyncedName { dir, name, file })
}
