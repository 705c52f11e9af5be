//! What a holder can do with the whole file: read it, rewrite it, repair it, and take a repair back.
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::{Grip, Inner, Turn};
use crate::datafile::quarantine::{QuarantineFile, quarantine_path};
use crate::datafile::read::{ReadError, Transcript};
use crate::datafile::rewrite::Replacement;
use crate::datafile::{Batch, SOON, Section, SessionFile, who_is_inside};
use crate::error::{Context, Error, LostCause, Result};
use crate::mode::{Mode, now_or_never};
use crate::session::data_queue::in_section;
use crate::sys::{self, FileId};
use crate::transcript::repair::{Repair, RepairError, needless, take_out};
use crate::transcript::restore::{RestoreError, Restored, restore};

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
    /// The session's lines as they are now, and damage if there is any.
    ///
    /// What this covers counts as read: posts that arrive later are told by the next append as `intervening`, and are carried over by
    /// [`rewrite`](Self::rewrite). A line that is being written just now is not covered: it may yet be taken back.
    ///
    /// **Blocking**: opening waits a few milliseconds at most for somebody's append to end; iterating blocks while the file is read.
    ///
    /// # Errors
    /// [`Error::LockLost`] after the turn was closed; [`Error::NoSession`] if somebody removed the file; [`Error::DataLockBusy`] if it was put
    /// in place by another program or a repair, and somebody stays inside an append since; [`Error::Io`].
    pub fn read(&self) -> Result<Transcript> {
        let mut grip = self.inner.grip.lock();
        let grip = grip.as_mut().ok_or_else(|| self.inner.lost(LostCause::Closed))?;
        let settled = grip.settled(&self.inner.slot)?;
        let transcript = Transcript::open_at(self.place())?;
        let file = Some(sys::stat(transcript.file()).context("look at", self.path())?.id);
        let Some((_, len)) = settled.filter(|(settled, _)| *settled == file) else {
            return self.inner.seen_before(grip, file).map(|seen| transcript.until(seen));
        };
        let transcript = transcript.until(len);
        let whole = transcript.whole_lines_to().context("read", self.path())?;
        // A torn tail from before the turn was seen as well.
        let end = if file == grip.file { whole.max(grip.seen) } else { whole };
        (grip.file, grip.seen, grip.untold) = (file, end, 0);
        grip.unread.clear();
        grip.read_first = false;
        Ok(transcript.until(end))
    }

    /// Replaces what this turn has seen of the session by these lines (a compaction). Posts that it has not read are carried over
    /// behind them. The new file is synced in every case; a crash at any point leaves the old or the new one.
    ///
    /// Seen is: what was there when the turn began, what [`read`](Self::read) covered, and what the turn has appended.
    ///
    /// **Cancel safety**: it happens or it does not. **Blocking**: file work is done on tokio's blocking pool.
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all); [`Error::ReadFirst`] if a repair has moved lines that the turn has not read;
    /// [`Error::Unsynced`], the only one after which the new file is in place.
    pub async fn rewrite<T: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Rewritten> {
        let lines = Batch::of(values)?;
        self.rewrite_as(Mode::Async, lines).await
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

    async fn rewrite_as(&mut self, mode: Mode, lines: Batch) -> Result<Rewritten> {
        let prepared = {
            let inner = Arc::clone(&self.inner);
            mode.run(move || inner.prepare_rewrite(&lines)).await??
        };
        let prepared = Mutex::new(Some(prepared));
        self.in_section(mode, move |inner, grip, data| {
            let Some(new) = prepared.lock().take() else { return Err(inner.gone()) };
            inner.finish_rewrite(grip, data, new)
        })
        .await
    }

    /// Takes what is damaged out of the session, into `<session>.jsonl.damaged`, whence it can be taken back.
    ///
    /// Two things hold: the repaired file and the quarantine together give the original, byte for byte; and every record that was whole
    /// before is there after, once, in order. Posts go in meanwhile, and are kept. A crash at any point leaves the old or the
    /// new file. If nothing is damaged nothing is written.
    ///
    /// **Cancel safety** and **blocking** are those of [`rewrite`](Self::rewrite).
    ///
    /// # Errors
    /// Those of [`append_all`](Self::append_all); [`Error::Unsynced`], the only one after which the new file is in place.
    pub async fn repair(&mut self) -> Result<Repair> {
        self.repair_as(Mode::Async).await
    }

    /// [`repair`](Self::repair) for threads that may block.
    ///
    /// # Errors
    /// Those of [`repair`](Self::repair).
    pub fn repair_blocking(&mut self) -> Result<Repair> {
        now_or_never(self.repair_as(Mode::Blocking))
    }

    async fn repair_as(&mut self, mode: Mode) -> Result<Repair> {
        let view = self.view(mode).await?;
        let prepared = {
            let inner = Arc::clone(&self.inner);
            mode.run(move || inner.prepare_repair(view)).await??
        };
        let (repair, mended) = match prepared {
            (repair, None) => return Ok(repair),
            (repair, Some(mended)) => (repair, mended),
        };
        let prepared = Mutex::new(Some(mended));
        self.in_section(mode, move |inner, grip, data| {
            let Some(mended) = prepared.lock().take() else { return Err(inner.gone()) };
            inner.finish_repair(grip, data, mended)
        })
        .await?;
        Ok(repair)
    }

    /// Takes back the latest repair that was not taken back yet: the session is as it was, byte for byte.
    ///
    /// **Cancel safety** and **blocking** are those of [`rewrite`](Self::rewrite).
    ///
    /// # Errors
    /// [`Error::Restore`] if there is none, or if anything was appended since; those of [`append_all`](Self::append_all).
    pub async fn restore(&mut self) -> Result<Restored> {
        self.restore_as(Mode::Async).await
    }

    /// [`restore`](Self::restore) for threads that may block.
    ///
    /// # Errors
    /// Those of [`restore`](Self::restore).
    pub fn restore_blocking(&mut self) -> Result<Restored> {
        now_or_never(self.restore_as(Mode::Blocking))
    }

    async fn restore_as(&mut self, mode: Mode) -> Result<Restored> {
        let view = self.view(mode).await?;
        let (restored, view, new) = {
            let inner = Arc::clone(&self.inner);
            mode.run(move || inner.prepare_restore(view)).await??
        };
        let prepared = Mutex::new(Some((restored.clone(), view, new)));
        self.in_section(mode, move |inner, grip, data| {
            let Some((restored, view, new)) = prepared.lock().take() else {
                return Err(inner.gone());
            };
            inner.finish_restore(grip, data, &restored, &view, new)
        })
        .await?;
        Ok(restored)
    }

    /// The file as it is when nobody is writing to it.
    async fn view(&mut self, mode: Mode) -> Result<View> {
        self.in_section(mode, |inner, grip, data| {
            inner.fence(grip)?;
            let file = data.file().try_clone().context("keep open", inner.slot.place.session())?;
            let view = View { file, id: data.id(), len: data.len() };
            grip.session = data.unlock();
            Ok(view)
        })
        .await
    }

    /// Does a piece of work under the data lock, with the turn's grip.
    async fn in_section<R: Send + 'static>(
        &mut self,
        mode: Mode,
        work: impl Fn(&Inner, &mut Grip, Section) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let inner = Arc::clone(&self.inner);
        let (deadline, limit) = (inner.rules.deadline(), inner.rules.acquire_timeout);
        in_section(inner.slot.clone(), mode, deadline, limit, true, move |granted| {
            let mut grip = inner.grip.lock();
            let grip = grip.as_mut().ok_or_else(|| inner.lost(LostCause::Closed))?;
            let Some(data) = grip.data_lock(granted, &inner.slot)? else { return Ok(None) };
            work(&inner, grip, data).map(Some)
        })
        .await
    }
}

/// The session file at a moment when nobody was writing to it. What is behind `len` came later.
struct View {
    file: File,
    id: Option<FileId>,
    len: u64,
}

/// A repair that only has to be put in place.
struct Mended {
    view: View,
    new: Replacement,
    quarantine: QuarantineFile,
}

impl Inner {
    /// How much of a file can be read to which somebody is writing.
    fn seen_before(&self, grip: &Grip, file: Option<FileId>) -> Result<u64> {
        if file == grip.file && !grip.read_first {
            return Ok(grip.seen);
        }
        let place = &self.slot.place;
        let (session, pid) = (place.session().to_owned(), who_is_inside(place));
        Err(Error::DataLockBusy { session, pid, waited: SOON })
    }

    fn fence(&self, grip: &Grip) -> Result<()> {
        match grip.lock.lost(&self.slot.place)? {
            Some(cause) => Err(self.lost(cause)),
            None => Ok(()),
        }
    }

    /// The work of an operation was taken by an earlier call of it: it is done only once.
    fn gone(&self) -> Error {
        self.lost(LostCause::Closed)
    }

    fn replaced(&self) -> Error {
        Error::Overtaken { session: self.slot.place.session().to_owned() }
    }

    fn prepare_rewrite(&self, lines: &Batch) -> Result<Replacement> {
        let place = &self.slot.place;
        // A turn that was lost, or is over, makes no session file.
        self.fence(self.grip.lock().as_ref().ok_or_else(|| self.gone())?)?;
        let old = SessionFile::open(place, true)?
            .ok_or_else(|| Error::NoSession { path: place.session().to_owned() })?;
        let mut new = Replacement::beside(place, old.file())?;
        new.write_all(lines.bytes()).context("write", place.session())?;
        new.sync()?;
        Ok(new)
    }

    fn finish_rewrite(
        &self,
        grip: &mut Grip,
        data: Section,
        mut new: Replacement,
    ) -> Result<Rewritten> {
        self.fence(grip)?;
        if grip.read_first {
            return Err(Error::ReadFirst { session: self.slot.place.session().to_owned() });
        }
        let content = new.len();
        for unread in grip.unread.iter().cloned().chain(Some(grip.seen..data.len())) {
            new.carry_lines(data.file(), unread)?;
        }
        let (data, synced) = new.install(data)?;
        let bytes = data.len();
        (grip.file, grip.seen) = (data.id(), bytes);
        grip.unread.clear();
        if bytes > content {
            grip.unread.push(content..bytes);
        }
        grip.session = data.unlock();
        synced.map(|()| Rewritten { bytes, carried: bytes - content })
    }

    fn prepare_repair(&self, view: View) -> Result<(Repair, Option<Mended>)> {
        let place = &self.slot.place;
        // The quarantine is opened only when there is something for it: from then on others may use it as well.
        if let Some(repair) = needless(&view.file, view.len).context("read", place.session())? {
            return Ok((repair, None));
        }
        let mut new = Replacement::beside(place, &view.file)?;
        let mut quarantine = QuarantineFile::open(place, &view.file)?;
        match self.mend(&view, &mut new, &mut quarantine) {
            Ok(repair) => Ok((repair, Some(Mended { view, new, quarantine }))),
            Err(error) => {
                self.discard(&quarantine);
                Err(error)
            }
        }
    }

    fn mend(
        &self,
        view: &View,
        new: &mut Replacement,
        quarantine: &mut QuarantineFile,
    ) -> Result<Repair> {
        let place = &self.slot.place;
        let path = quarantine.path().to_owned();
        let (mut to, mut notes) = (BufWriter::new(&mut *new), BufWriter::new(&mut *quarantine));
        let repaired = take_out(&view.file, view.len, &mut to, &mut notes)
            .and_then(|repair| to.flush().map_err(RepairError::WriteRepaired).map(|()| repair))
            .and_then(|repair| {
                notes.flush().map_err(RepairError::WriteQuarantine).map(|()| repair)
            });
        // What a repair that failed has not written yet is for nobody.
        let _ = (to.into_parts(), notes.into_parts());
        let repaired = repaired.map_err(|error| repair_failed(error, place.session(), &path))?;
        // The quarantine first: once the new file stands, what was taken out must be there.
        quarantine.sync()?;
        new.sync()?;
        Ok(repaired)
    }

    /// A repair that failed leaves no empty quarantine, unless the session is another's by now: then that may be his.
    fn discard(&self, quarantine: &QuarantineFile) {
        if let Some(grip) = self.grip.lock().as_ref()
            && let Ok(Some(_data)) = Section::lock_within(SOON, &self.slot.place, false)
            && self.fence(grip).is_ok()
        {
            quarantine.discard_unused();
        }
    }

    fn finish_repair(&self, grip: &mut Grip, data: Section, mended: Mended) -> Result<()> {
        let Mended { view, mut new, quarantine } = mended;
        self.fence(grip)?;
        if data.id() != view.id || data.len() < view.len {
            return Err(self.replaced());
        }
        quarantine.ensure_named()?;
        // What came meanwhile was not looked at; it stays as it is.
        new.carry(data.file(), view.len..data.len())?;
        let unseen = data.len().saturating_sub(grip.seen);
        self.install(grip, data, new, unseen)
    }

    fn prepare_restore(&self, view: View) -> Result<(Restored, View, Replacement)> {
        let place = &self.slot.place;
        let mut new = Replacement::beside(place, &view.file)?;
        let mut to = BufWriter::new(&mut new);
        let quarantine = quarantine_path(place.session());
        let restored = open_quarantine(&quarantine)
            .and_then(|entries| restore(&view.file, view.len, &entries, &mut to))
            .map_err(|source| Error::Restore {
                session: place.session().to_owned(),
                quarantine,
                source: Box::new(source),
            })?;
        to.flush().context("write", place.session())?;
        drop(to);
        new.sync()?;
        Ok((restored, view, new))
    }

    fn finish_restore(
        &self,
        grip: &mut Grip,
        data: Section,
        restored: &Restored,
        view: &View,
        new: Replacement,
    ) -> Result<()> {
        self.fence(grip)?;
        if data.id() != view.id || data.len() != view.len {
            return Err(self.replaced());
        }
        let quarantine = QuarantineFile::open(&self.slot.place, data.file());
        self.install(grip, data, new, 0)?;
        // It is restored, noted or not; the next undo knows the original when it sees it.
        let noted = quarantine.and_then(|mut quarantine| quarantine.note_undone(restored.repair));
        if let Err(error) = noted {
            tracing::warn!(session = %self.slot.place.session().display(), %error, "restored, but the quarantine does not say so");
        }
        Ok(())
    }

    /// `unseen`: so many bytes of the old file the holder has neither seen nor been told of.
    fn install(&self, grip: &mut Grip, data: Section, new: Replacement, unseen: u64) -> Result<()> {
        let (data, synced) = new.install(data)?;
        grip.untold += unseen;
        grip.read_first |= unseen > 0 || !grip.unread.is_empty();
        (grip.file, grip.seen) = (data.id(), data.len());
        grip.unread.clear();
        grip.session = data.unlock();
        synced
    }
}

fn open_quarantine(path: &Path) -> std::result::Result<File, RestoreError> {
    match Transcript::open(path) {
        Ok(entries) => Ok(entries.into_file()),
        Err(ReadError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(RestoreError::NothingToUndo)
        }
        Err(error) => Err(RestoreError::Quarantine(io::Error::other(error))),
    }
}

fn repair_failed(error: RepairError, session: &Path, quarantine: &Path) -> Error {
    let (action, path, source) = match error {
        RepairError::Read(source) => ("read", session, source),
        RepairError::WriteRepaired(source) => ("write the repaired file beside", session, source),
        RepairError::WriteQuarantine(source) => ("write", quarantine, source),
    };
    Error::Io { action, path: path.to_owned(), source }
}
