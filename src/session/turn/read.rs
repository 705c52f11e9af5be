//! How a holder reads the session.

use super::open::OpenTurn;
use super::seen::Seen;
use super::{Inner, Turn};
use crate::datafile::read::Transcript;
use crate::datafile::{SOON, busy};
use crate::error::{Context, Error, Result};
use crate::outside;

impl Turn {
    /// The session's lines as they are now, and its damage if there is any.
    ///
    /// This is the way to go on after [`Error::Changed`], in which another program has removed,
    /// replaced or cut the session during the turn: a read accepts the session as it is now. If it
    /// fails with [`Error::NoSession`], the next append creates the session anew.
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
    /// - [`Error::DataLockBusy`] if another program or a repair has put a new file in place or cut
    ///   the old one, and a process stays inside an append since
    /// - [`Error::Io`] if the file cannot be read
    pub fn read(&self) -> Result<Transcript> {
        let _scope = outside::scope();
        let mut open = self.inner.open.lock();
        let open = open.as_mut().ok_or_else(|| self.inner.closed())?;
        let read = self.inner.read(open);
        if matches!(read, Err(Error::NoSession { .. })) {
            // Now the holder knows that there is none.
            open.seen = Seen::nothing();
            self.inner.tell_children(open);
        }
        read
    }
}

impl Inner {
    fn read(&self, open: &mut OpenTurn) -> Result<Transcript> {
        let place = &self.slot.place;
        let settled = open.settled(place)?;
        let transcript = Transcript::open_at(place)?;
        let session = place.session();
        if let Some((file, len)) = settled
            && file.is_also(transcript.file()).context("look at", session)?
        {
            let transcript = transcript.until(len);
            let whole = transcript.whole_lines_to().context("read", session)?;
            let (end, accepts) = open.seen.read(file, whole);
            if accepts {
                self.tell_children(open);
            }
            return Ok(transcript.until(end));
        }
        match open.seen.readable_end(transcript.file()).context("look at", session)? {
            Some(end) => Ok(transcript.until(end)),
            None => Err(self.busy_inside()),
        }
    }

    fn busy_inside(&self) -> Error {
        busy(&self.slot.place, SOON)
    }
}
