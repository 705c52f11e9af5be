//! Whether a file's name is on disk. A new file survives the loss of power only once its directory
//! was synced.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::sync::LazyLock;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::place::Place;
use crate::sys::FileId;

/// Files whose directory entry this process knows to be on disk, each with its time of birth, since
/// inode numbers are reused.
static SYNCED: LazyLock<Mutex<HashSet<(FileId, SystemTime)>>> = LazyLock::new(Mutex::default);
/// When there are so many, they are forgotten, at the cost of one more sync for each.
const MOST_SYNCED: usize = 1 << 16;

/// Syncs the directory with the first synced append that this process makes to the file. Whoever
/// created the file may have died before it did so.
pub(super) fn sync_directory_once(file: &File, id: FileId, place: &Place) -> io::Result<()> {
    let born = file.metadata().and_then(|metadata| metadata.created()).ok();
    if let Some(born) = born
        && SYNCED.lock().contains(&(id, born))
    {
        return Ok(());
    }
    place.dir().sync(file)?;
    if let Some(born) = born {
        let mut synced = SYNCED.lock();
        if synced.len() >= MOST_SYNCED {
            synced.clear();
        }
        synced.insert((id, born));
    }
    Ok(())
}
