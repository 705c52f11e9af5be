//! How a holder rewrites the session (I11).

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use super::open::OpenTurn;
use super::{Inner, Turn};
use crate::datafile::rewrite::{Installed, Replacement};
use crate::datafile::{Batch, Section, SessionFile};
use crate::error::{Context, Error, Result, SessionChange};
use crate::mode::{Mode, now_or_never};

/// What a rewrite did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rewritten {
    /// How long the file is now, in bytes.
    pub bytes: u64,
    /// How many of them were carried over: posts that this turn had not read.
    pub carried: u64,
}

impl Turn {
    /// Replaces what this turn has seen of the session by these lines (a compaction). Posts that it
    /// has not read are carried over behind them.
    ///
    /// A turn has seen what was there when it began, what [`read`](Self::read) covered, and what it
    /// has appended. The new file is always synced. A crash at any point leaves the old file or the
    /// new one.
    ///
    /// **Cancel safety**: the rewrite happens or it does not. **Blocking**: file work is done on
    /// tokio's blocking pool.
    ///
    /// # Errors
    /// - those of [`append_all`](Self::append_all)
    /// - [`Error::ReadFirst`] if a repair has moved lines that this turn has not read yet
    /// - [`Error::Unsynced`], the only error after which the new file is in place
    pub async fn rewrite<T: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Rewritten> {
        let batch = Batch::of(values)?;
        self.rewrite_as(Mode::Async, batch).await
    }

    /// [`rewrite`](Self::rewrite) for threads that may block.
    ///
    /// # Errors
    /// Those of [`rewrite`](Self::rewrite).
    pub fn rewrite_blocking<T: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Rewritten> {
        now_or_never(self.rewrite_as(Mode::Blocking, Batch::of(values)?))
    }

    async fn rewrite_as(&mut self, mode: Mode, batch: Batch) -> Result<Rewritten> {
        let inner = Arc::clone(&self.inner);
        let new = mode.run(move || inner.prepare_rewrite(&batch)).await??;
        self.with_section(mode, |inner, open, section| inner.finish_rewrite(open, section, new))
            .await
    }
}

impl Inner {
    fn prepare_rewrite(&self, batch: &Batch) -> Result<Replacement> {
        let place = &self.slot.place;
        // A turn that was lost, or is over, creates no session file. Neither does a turn that has
        // seen one.
        let create = {
            let open = self.open.lock();
            let open = open.as_ref().ok_or_else(|| self.closed())?;
            self.fence(open)?;
            open.seen.is_nothing()
        };
        let old = SessionFile::open(place, create)?
            .ok_or_else(|| self.changed(SessionChange::Removed))?;
        let mut new = Replacement::beside(place, old.file())?;
        new.write_all(batch.bytes()).context("write", place.session())?;
        new.sync()?;
        Ok(new)
    }

    fn finish_rewrite(
        &self,
        open: &mut OpenTurn,
        section: Section,
        mut new: Replacement,
    ) -> Result<Rewritten> {
        self.fence(open)?;
        if open.seen.must_read_first() {
            return Err(Error::ReadFirst { session: self.slot.place.session().to_owned() });
        }
        let content = new.len();
        for unseen in open.seen.unseen(section.len()) {
            new.carry_lines(section.file(), unseen)?;
        }
        let Installed { mut section, synced, .. } = new.install(section)?;
        let bytes = section.len();
        open.seen.rewritten(&mut section, content);
        self.tell_children(open);
        open.session = section.unlock();
        synced.map(|()| Rewritten { bytes, carried: bytes - content })
    }
}
