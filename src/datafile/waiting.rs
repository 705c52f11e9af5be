//! The wait for the data lock in the kernel. Only for threads that exist to wait.

use std::io;
use std::sync::Arc;

use super::file::{SessionFile, missing};
use super::{Section, made};
use crate::error::{Context, Result};
use crate::place::Place;
use crate::sys::{Pinned, flock};

/// A session file that is open for a wait for its data lock, or whose data lock was granted.
#[derive(Debug)]
pub(crate) struct WaitingFile(SessionFile);

impl WaitingFile {
    /// Opens the session file to wait for it. With `create` a missing one is created. `None` if
    /// somebody's lease is in the way, which ends without notice.
    pub(crate) fn open(place: &Place, create: bool) -> Result<Option<Self>> {
        match SessionFile::open(place, create) {
            Ok(Some(session)) => Ok(Some(Self(session))),
            Ok(None) => Err(missing(place)),
            Err(error) if error.is_lease() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file that is waited for. It is open as long as this is.
    pub(crate) fn pinned(&self) -> &Arc<Pinned> {
        self.0.pinned()
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_lock(&self, place: &Place) -> Result<bool> {
        let locked = flock::try_lock(self.0.file()).context("lock", place.session())?;
        if !locked {
            made::remember(place, &self.0);
        }
        Ok(locked)
    }

    /// Waits in the kernel for as long as it takes.
    pub(crate) fn wait(&self) -> io::Result<()> {
        flock::wait(self.0.file())
    }

    /// Lets go of the lock that was granted.
    pub(crate) fn let_go(self) {
        self.0.unlock();
    }

    /// The section, if the file whose lock was granted is the one that the path names (I3).
    /// Otherwise lets go of the lock.
    pub(crate) fn confirmed(self, place: &Place) -> Result<std::result::Result<Section, Self>> {
        Ok(self.0.confirmed(place)?.map_err(Self))
    }
}
