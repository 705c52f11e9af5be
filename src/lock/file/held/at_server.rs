//! The fence where a server keeps the locks (I18).

use super::super::record;
use super::LockFile;
use crate::datafile::Section;
use crate::error::{Context, LostCause, Result};
use crate::place::Place;
use crate::sys::{self, Found, filesystem, flock};

impl LockFile {
    /// [`lost`](Self::lost) at the begin of a section. There the server was asked about the
    /// directory when the data lock was granted, and since then nobody of this protocol has changed
    /// a name in it.
    pub(crate) fn lost_in(&self, section: &Section) -> Result<Option<LostCause>> {
        let place = section.place();
        if filesystem::is_served(place.dir()) && !self.is_forked() {
            return self.lost_at_server(place);
        }
        self.lost(place)
    }

    /// How the lock was lost, if it was. The server has just been asked about the directory: that
    /// has told this host whether its lease has run out.
    ///
    /// Only the server knows whether it still grants the lock: it is asked for it once more. That
    /// also empties this host's cache of the file.
    pub(super) fn lost_at_server(&self, place: &Place) -> Result<Option<LostCause>> {
        match place.compare_lock_as_known(&self.file)? {
            Found::Nothing => return Ok(Some(LostCause::Removed)),
            Found::Other => return Ok(Some(LostCause::Replaced)),
            Found::This(()) => {}
        }
        if !place.is_where_it_was()? {
            return Ok(Some(LostCause::Moved));
        }
        match flock::try_lock(self.file()) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(LostCause::TakenOver)),
            Err(e) if sys::is_given_up(&e) => return Ok(Some(LostCause::Expired)),
            Err(e) => return Err(e).context("lock", place.lock()),
        }
        match sys::stat(self.file()) {
            Ok(stat) if stat.links == 0 => return Ok(Some(LostCause::Removed)),
            Ok(_) => {}
            Err(e) if sys::is_given_up(&e) => return Ok(Some(LostCause::Removed)),
            Err(e) => return Err(e).context("look at", place.lock()),
        }
        match record::is_still(self.file(), &self.record) {
            Err(e) if sys::is_given_up(&e) => Ok(Some(LostCause::Expired)),
            still => {
                let mine = still.context("read", place.lock())?;
                Ok((!mine).then_some(LostCause::TakenOver))
            }
        }
    }
}
