//! The fence (I4) for a child of the holder, which knows the turn by its owner but may not have its descriptor.

use std::io;

use uuid::Uuid;

use super::record::{self, Reading};
use super::{Opened, marks, open};
use crate::datafile::Section;
use crate::error::{Context, Error, LostCause, Result};
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{FileId, flock};

/// The lock file of `owner`'s turn, if that is not lost.
///
/// The holder may let go at any moment, also while the data lock is held. But whoever is next needs the data lock to begin, so that
/// what is written under it still lies before the next turn.
pub(crate) fn pass(place: &Place, _data: &Section, owner: Uuid, rules: &Rules) -> Result<FileId> {
    let lost = |cause| Err(Error::LockLost { lock: place.lock().to_owned(), cause });
    let (file, id) = match open(place)? {
        Opened::File(file, stat) => (file, stat.id),
        Opened::None => return lost(LostCause::Removed),
        Opened::Denied => {
            return Err(io::ErrorKind::PermissionDenied).context("open", place.lock());
        }
    };
    match record::read(&file).context("read", place.lock())? {
        Reading::Ours(record) if record.owner == Some(owner) => {}
        _ => return lost(LostCause::TakenOver),
    }
    if rules.marks(id.device()) && marks::somebody_holds(&file) {
        return Ok(id);
    }
    // No mark is no proof; the kernel's lock is. If it is granted here, it is for no longer than this look.
    if flock::try_lock(&file).context("lock", place.lock())? {
        flock::unlock(&file);
        return lost(LostCause::HolderGone);
    }
    Ok(id)
}
