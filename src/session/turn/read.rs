//! How a holder reads the session.

use super::{Inner, Turn};
use crate::datafile::read::Transcript;
use crate::datafile::{SOON, busy};
use crate::error::{Context, Error, Result};
use crate::outside;
use crate::sys;

impl Turn {
    /// The session's lines as they are now, and its damage if there is any.
    ///
    /// What this covers counts as read. Posts that arrive later are reported by the next append as
    /// `intervening`, and carried over by [`rewrite`](Self::rewrite). A line that is being written
    /// right now is not covered, because it may yet be taken back.
    ///
    /// **Blocking**: opening waits a few milliseconds at most for another process's append to end.
    /// Iterating blocks while the file is read.
    ///
    /// # Errors
    /// - [`Error::LockLost`] after the turn was closed
    /// - [`Error::NoSession`] if somebody removed the file
    /// - [`Error::DataLockBusy`] if another program or a repair put a new file in place, and a
    ///   process stays inside an append since
    /// - [`Error::Io`] if the file cannot be read
    pub fn read(&self) -> Result<Transcript> {
        let _scope = outside::scope();
        let mut open = self.inner.open.lock();
        let open = open.as_mut().ok_or_else(|| self.inner.closed())?;
        let settled = open.settled(self.place())?;
        let transcript = Transcript::open_at(self.place())?;
        let file = Some(sys::stat(transcript.file()).context("look at", self.path())?.id);
        match settled {
            Some((settled, len)) if settled == file => {
                let transcript = transcript.until(len);
                let whole = transcript.whole_lines_to().context("read", self.path())?;
                Ok(transcript.until(open.seen.read(file, whole)))
            }
            _ => match open.seen.readable_end(file) {
                Some(end) => Ok(transcript.until(end)),
                None => Err(self.inner.busy_inside()),
            },
        }
    }
}

impl Inner {
    fn busy_inside(&self) -> Error {
        busy(&self.slot.place, SOON)
    }
}
