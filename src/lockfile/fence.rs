//! The fence (I4) for a child of the holder, which knows the turn by its owner but may not have its descriptor.

use super::record::{self, Reading};
use super::{Opened, marks, open};
use crate::error::{Context, LostCause, Result};
use crate::flock;
use crate::place::Place;
use crate::sessions::Rules;
use crate::transcript::DataLock;
use uuid::Uuid;

/// How the turn of `owner` was lost, if it was.
///
/// The holder may let go at any moment, also while the data lock is held. But whoever is next needs the data lock to begin, so that
/// what is written under it still lies before the next turn.
pub(crate) fn lost(place: &Place, _data: &DataLock, owner: Uuid, rules: &Rules) -> Result<Option<LostCause>> {
    let file = match open(place.lock())? {
        Opened::File(file) => file,
        Opened::None => return Ok(Some(LostCause::Removed)),
        Opened::Denied => return Err(rustix::io::Errno::ACCESS).context("open", place.lock()),
    };
    match record::read(&file).context("read", place.lock())? {
        Reading::Ours(record) if record.owner == Some(owner) => {}
        _ => return Ok(Some(LostCause::TakenOver)),
    }
    let dev = rustix::fs::fstat(&file).context("look at", place.lock())?.st_dev;
    if rules.marks(dev) && marks::somebody_holds(&file) {
        return Ok(None);
    }
    // No mark is no proof; the kernel's lock is. Who gets it here holds it for no longer than this look.
    let free = flock::try_lock(&file).context("lock", place.lock())?;
    if free {
        flock::unlock(&file);
    }
    Ok(free.then_some(LostCause::HolderGone))
}
