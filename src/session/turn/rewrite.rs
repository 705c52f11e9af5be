//! How a holder rewrites the session (I11).

use std::io::Write;
use std::iter::once;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::open::OpenTurn;
use super::{Inner, Turn};
use crate::datafile::read::is_inside_line;
use crate::datafile::rewrite::{Installed, Replacement};
use crate::datafile::{Batch, Position, Section, SessionFile, View};
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
    /// has appended, until this was called. The new file is always synced. A crash at any point
    /// leaves the old file or the new one.
    ///
    /// **Cancel safety**: the rewrite happens or it does not. **Blocking**: file work is done on
    /// tokio's blocking pool.
    ///
    /// # Errors
    /// - those of [`append_all`](Self::append_all)
    /// - [`Error::ReadFirst`] if a repair has moved lines that this turn has not read yet
    /// - [`Error::Unsynced`], the only error after which the new file is in place
    pub async fn rewrite<T: Serialize>(
        &self,
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
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Rewritten> {
        now_or_never(self.rewrite_as(Mode::Blocking, Batch::of(values)?))
    }

    /// Replaces what lies before `position`, up to which an earlier read has gone, by these lines.
    /// What lies behind it is carried over, whoever has written it.
    ///
    /// This is for a program that reads, thinks and then replaces what it has read. The read may
    /// be one of this turn or from before it, without any lock.
    ///
    /// ```
    /// # use serde_json::json;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let path = dir.path().join("4f2c.jsonl");
    /// # let sessions = turnlock::Sessions::new();
    /// # sessions.post_creating(&path, [json!({"n": 1}), json!({"n": 2})]).await?;
    /// let session = sessions.session(&path)?;
    /// let history = session.read_blocking()?;
    /// // A model sums the history up, and takes its time. Meanwhile, somebody posts.
    /// session.post(&json!({"n": 3})).await?;
    /// let turn = session.turn().await?;
    /// turn.rewrite_from(history.position(), [json!({"sum": 3})]).await?;
    /// # turn.release().await?;
    /// # let text = std::fs::read_to_string(&path).expect("a session");
    /// assert_eq!(text, "{\"sum\":3}\n{\"n\":3}\n");
    /// # Ok(()) }
    /// ```
    ///
    /// **Cancel safety** and **Blocking** are those of [`rewrite`](Self::rewrite). What lies before
    /// the position is read once more.
    ///
    /// # Errors
    /// - [`Error::Changed`] if what lies before the position is not what was read there: another
    ///   rewrite or repair came first, or another program has cut or written over it. Nothing was
    ///   written; read again.
    /// - otherwise those of [`rewrite`](Self::rewrite), except for `ReadFirst`
    pub async fn rewrite_from<T: Serialize>(
        &self,
        position: Position,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Rewritten> {
        let batch = Batch::of(values)?;
        self.rewrite_from_as(Mode::Async, position, batch).await
    }

    /// [`rewrite_from`](Self::rewrite_from) for threads that may block.
    ///
    /// # Errors
    /// Those of [`rewrite_from`](Self::rewrite_from).
    pub fn rewrite_from_blocking<T: Serialize>(
        &self,
        position: Position,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Rewritten> {
        let batch = Batch::of(values)?;
        now_or_never(self.rewrite_from_as(Mode::Blocking, position, batch))
    }

    async fn rewrite_as(&self, mode: Mode, batch: Batch) -> Result<Rewritten> {
        let inner = Arc::clone(&self.inner);
        let prepared = mode.run(move || inner.prepare_rewrite(&batch)).await??;
        self.finish(mode, prepared).await
    }

    async fn rewrite_from_as(
        &self,
        mode: Mode,
        position: Position,
        batch: Batch,
    ) -> Result<Rewritten> {
        let inner = Arc::clone(&self.inner);
        let prepared = mode.run(move || inner.prepare_rewrite_from(position, &batch)).await??;
        self.finish(mode, prepared).await
    }

    async fn finish(&self, mode: Mode, (new, old): (Replacement, Replaced)) -> Result<Rewritten> {
        self.with_section(mode, move |inner, open, section| {
            inner.finish_rewrite(open, section, new, &old)
        })
        .await
    }
}

/// What a rewrite replaces of the old file; all the rest is carried over.
struct Replaced {
    /// `None` if nothing was seen of it.
    view: Option<View>,
    /// Parts before the end of the view that are carried over all the same.
    unread: Vec<Range<u64>>,
    /// Whether it is what the turn had seen, rather than what an earlier read covered.
    is_all_that_was_seen: bool,
}

impl Replaced {
    fn end(&self) -> u64 {
        self.view.as_ref().map_or(0, View::end)
    }

    /// What is carried over from a file of `len` bytes, in order.
    fn carried(&self, len: u64) -> impl Iterator<Item = Range<u64>> {
        self.unread.iter().cloned().chain(once(self.end()..len))
    }
}

impl Inner {
    fn prepare_rewrite(&self, batch: &Batch) -> Result<(Replacement, Replaced)> {
        // Appends of this turn that come while the new file is written are carried over.
        let old = {
            let open = self.open.lock();
            let open = open.as_ref().ok_or_else(|| self.closed())?;
            self.fence(open)?;
            let (view, unread) = open.seen.parts();
            Replaced { view, unread, is_all_that_was_seen: true }
        };
        Ok((self.prepare_new(&old, batch)?, old))
    }

    fn prepare_rewrite_from(
        &self,
        position: Position,
        batch: &Batch,
    ) -> Result<(Replacement, Replaced)> {
        {
            let open = self.open.lock();
            self.fence(open.as_ref().ok_or_else(|| self.closed())?)?;
        }
        if let Some(how) = position.change()? {
            return Err(self.changed(how));
        }
        let view = Some(position.into_view());
        let old = Replaced { view, unread: Vec::new(), is_all_that_was_seen: false };
        Ok((self.prepare_new(&old, batch)?, old))
    }

    fn prepare_new(&self, old: &Replaced, batch: &Batch) -> Result<Replacement> {
        let place = &self.slot.place;
        // A turn that was lost, or is over, creates no session file. Neither does a turn that has
        // seen one.
        let like = SessionFile::open(place, old.end() == 0)?
            .ok_or_else(|| self.changed(SessionChange::Removed))?;
        let mut new = Replacement::beside(place, like.file())?;
        new.write_all(batch.bytes()).context("write", place.session())?;
        new.sync()?;
        Ok(new)
    }

    fn finish_rewrite(
        &self,
        open: &mut OpenTurn,
        section: Section,
        mut new: Replacement,
        old: &Replaced,
    ) -> Result<Rewritten> {
        self.fence(open)?;
        if old.is_all_that_was_seen && open.seen.must_read_first() {
            return Err(Error::ReadFirst { session: self.slot.place.session().to_owned() });
        }
        let change = match &old.view {
            Some(view) => view.change(&section, true),
            None => Ok(None),
        };
        let change = match change {
            Ok(None) if section.len() > old.end() => {
                // A torn tail was replaced, and another program has gone on with it since.
                let goes_on = is_inside_line(section.file(), old.end());
                goes_on.map(|it| it.then_some(SessionChange::Overwritten))
            }
            change => change,
        };
        if let Some(how) = change.context("read", self.slot.place.session())? {
            open.session = section.unlock();
            return Err(self.changed(how));
        }
        let content = new.len();
        for part in old.carried(section.len()) {
            new.carry_lines(section.file(), part)?;
        }
        let Installed { mut section, synced, .. } = new.install(section)?;
        let bytes = section.len();
        open.seen.rewritten(&mut section, content);
        self.tell_children(open);
        open.session = section.unlock();
        synced.map(|()| Rewritten { bytes, carried: bytes - content })
    }
}
