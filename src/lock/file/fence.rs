//! The fence (I4) for a child of the holder, which was told the owner but may not have the
//! descriptor.

use uuid::Uuid;

use super::record::{self, Reading};
use super::{Opened, marks, open};
use crate::datafile::Section;
use crate::error::{Context, Error, LostCause, Result};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{FileId, flock};

/// The lock file of `owner`'s turn, if the turn is not lost.
///
/// The holder may let go at any moment, even while this process has the data lock. But the next
/// holder needs the data lock to begin, so what is written under it still precedes the next turn.
pub(crate) fn pass(place: &Place, section: &Section, owner: Uuid, rules: &Rules) -> Result<FileId> {
    debug_assert!(section.is_of(place));
    let lost = |cause| Err(Error::LockLost { lock: place.lock().to_owned(), cause });
    let (file, id) = match open(place)? {
        Opened::File(file, stat) => (file, stat.id),
        Opened::None => return lost(LostCause::Removed),
        Opened::Denied(closed) => return Err(closed.into_error()).context("open", place.lock()),
    };
    if !place.is_where_it_was()? {
        return lost(LostCause::Moved);
    }
    match record::read(&file).context("read", place.lock())? {
        Reading::Ours(record) if record.owner == Some(owner) => {}
        _ => return lost(LostCause::TakenOver),
    }
    if rules.marks(id.device()) && marks::somebody_holds(&file) {
        return Ok(id);
    }
    // A missing mark proves nothing; the kernel's lock does. If it is granted here, nobody has it.
    if flock::try_lock(&file).context("lock", place.lock())? {
        flock::unlock(&file);
        return lost(LostCause::HolderGone);
    }
    Ok(id)
}
