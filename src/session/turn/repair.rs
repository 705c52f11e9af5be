//! How a holder repairs the session, and undoes a repair.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::open::OpenTurn;
use super::{Inner, Turn};
use crate::datafile::quarantine::{self, QuarantineFile, quarantine_path};
use crate::datafile::rewrite::{Installed, Replacement};
use crate::datafile::{SOON, Section, View};
use crate::error::{Context, Error, ReadError, Result};
use crate::mode::{Mode, now_or_never};
use crate::outside::note;
use crate::place::Place;
use crate::sys::{self, Pinned, Refusal};
use crate::transcript::look::{Look, NewHeader, Verdict};
use crate::transcript::moves::Moves;
use crate::transcript::quarantine::now;
use crate::transcript::repair::{Careful, Repair, RepairError, needless, take_out};
use crate::transcript::restore::{RestoreError, Restored, take_back};

impl Turn {
    /// Moves damaged parts of the session into `<session>.jsonl.damaged`, the quarantine.
    /// [`restore`](Self::restore) puts them back.
    ///
    /// The repaired file and the quarantine together give the original, byte for byte. Every record
    /// that was whole before is there afterwards, once and in order. Posts are accepted meanwhile,
    /// and kept. A crash at any point leaves the old file or the new one. If nothing is damaged,
    /// nothing is written.
    ///
    /// A session of a known format that has no header gets one, made of what is left of it, of the
    /// name of the file and of its records ([`Repair::header`]). A header that is not the first
    /// record is moved.
    ///
    /// The new file has owner, mode, access control list, extended attributes and file flags of the
    /// old one, as far as this process may set them, and its time of last change, unless both have
    /// the same length.
    ///
    /// **Cancel safety** and **Blocking** are those of [`rewrite`](Self::rewrite).
    ///
    /// # Errors
    /// - those of [`append_all`](Self::append_all)
    /// - [`Error::OpenElsewhere`] if another process has the session open for writing
    /// - [`Error::Unsynced`], the only error after which the new file is in place
    pub async fn repair(&self) -> Result<Repair> {
        Ok(self.repair_as(Mode::Async, Care::None).await?.repair)
    }

    /// [`repair`](Self::repair) for threads that may block.
    ///
    /// # Errors
    /// Those of [`repair`](Self::repair).
    pub fn repair_blocking(&self) -> Result<Repair> {
        Ok(now_or_never(self.repair_as(Mode::Blocking, Care::None))?.repair)
    }

    /// [`repair`](Self::repair), unless that would make things worse. For threads that may block.
    ///
    /// # Errors
    /// Those of [`repair`](Self::repair).
    pub(crate) fn repair_with_care_blocking(&self) -> Result<Careful> {
        now_or_never(self.repair_as(Mode::Blocking, Care::Refuse))
    }

    async fn repair_as(&self, mode: Mode, care: Care) -> Result<Careful> {
        let view = self.view(mode).await?;
        let inner = Arc::clone(&self.inner);
        let (done, repaired) = mode.run(move || inner.prepare_repair(view, care)).await??;
        if let Some(repaired) = repaired {
            self.with_section(mode, |inner, open, section| {
                inner.finish_repair(open, section, repaired)
            })
            .await?;
        }
        Ok(done)
    }

    /// Undoes the latest repair that was not undone yet. The session then begins as it was before
    /// it, byte for byte, and what was appended since follows on lines of its own.
    ///
    /// **Cancel safety** and **Blocking** are those of [`rewrite`](Self::rewrite).
    ///
    /// # Errors
    /// - [`Error::Restore`] if there is no such repair, or if what it left was changed since
    /// - [`Error::OpenElsewhere`]
    /// - those of [`append_all`](Self::append_all)
    pub async fn restore(&self) -> Result<Restored> {
        self.restore_as(Mode::Async).await
    }

    /// [`restore`](Self::restore) for threads that may block.
    ///
    /// # Errors
    /// Those of [`restore`](Self::restore).
    pub fn restore_blocking(&self) -> Result<Restored> {
        now_or_never(self.restore_as(Mode::Blocking))
    }

    async fn restore_as(&self, mode: Mode) -> Result<Restored> {
        let view = self.view(mode).await?;
        let inner = Arc::clone(&self.inner);
        let original = mode.run(move || inner.prepare_restore(view)).await??;
        let restored = original.restored.clone();
        self.with_section(mode, |inner, open, section| {
            inner.finish_restore(open, section, original)
        })
        .await?;
        Ok(restored)
    }

    /// The file as it is while nobody writes to it.
    async fn view(&self, mode: Mode) -> Result<View> {
        self.with_section(mode, |inner, open, mut section| {
            inner.fence(open)?;
            let view = View::of(&mut section, None);
            open.session = section.unlock();
            Ok(view)
        })
        .await
    }
}

/// Whether a repair is refused that would make things worse.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    None,
    Refuse,
}

/// A repaired file that only has to be put in place.
struct RepairedFile {
    view: View,
    new: Replacement,
    repair: Option<Uuid>,
    quarantine: QuarantineFile,
}

/// A restored file that only has to be put in place.
struct RestoredFile {
    view: View,
    new: Replacement,
    restored: Restored,
}

impl Inner {
    /// What there is to repair, and the repaired file if there is anything.
    fn prepare_repair(&self, view: View, care: Care) -> Result<(Careful, Option<RepairedFile>)> {
        let place = &self.slot.place;
        let name = place.session().file_stem().unwrap_or_default().to_string_lossy();
        let look = Look::at(&view.file(), view.end()).and_then(|look| {
            let verdict = look.verdict(&view.file(), view.end(), &name, &now())?;
            Ok((look.survey, verdict))
        });
        let (survey, verdict) = look.context("read", place.session())?;
        let unchanged = |survey| needless(survey, view.end());
        let header = match verdict {
            Verdict::Healthy => {
                return Ok((Careful { repair: unchanged(survey), refused: None }, None));
            }
            Verdict::Refused(why) if care == Care::Refuse => {
                return Ok((Careful { repair: unchanged(survey), refused: Some(why) }, None));
            }
            Verdict::Refused(_) if survey.is_healthy() => {
                return Ok((Careful { repair: unchanged(survey), refused: None }, None));
            }
            Verdict::Refused(_) => None,
            Verdict::Mend(header) => header,
        };
        self.ensure_nobody_writes(view.file())?;
        // The quarantine is opened only if there is something for it. From then on others may use
        // it as well.
        let mut new = Replacement::beside(place, view.file())?;
        let mut quarantine = QuarantineFile::open(place, view.file())?;
        new.keep_time();
        match self.write_repaired(&view, header.as_ref(), &mut new, &mut quarantine) {
            Ok(mut done) => {
                done.flags_lost = !new.has_flags();
                let repair = done.id;
                let done = Careful { repair: done, refused: None };
                Ok((done, Some(RepairedFile { view, new, repair, quarantine })))
            }
            Err(error) => {
                // Its room on a full disk is given back first.
                drop(new);
                if let Some(open) = self.open.lock().as_ref() {
                    self.cut_back(open, &quarantine);
                }
                Err(error)
            }
        }
    }

    fn write_repaired(
        &self,
        view: &View,
        header: Option<&NewHeader>,
        new: &mut Replacement,
        quarantine: &mut QuarantineFile,
    ) -> Result<Repair> {
        let place = &self.slot.place;
        let path = quarantine.path().to_owned();
        let (trace, mut moves) = (new.trace(), Moves::default());
        let (mut to, mut notes) = (BufWriter::new(&mut *new), BufWriter::new(&mut *quarantine));
        let (file, end) = (&view.file(), view.end());
        let repaired = take_out(file, end, header, trace, &mut to, &mut notes, &mut moves)
            .and_then(|repair| to.flush().map_err(RepairError::WriteRepaired).map(|()| repair))
            .and_then(|repair| {
                notes.flush().map_err(RepairError::WriteQuarantine).map(|()| repair)
            });
        // What a failed repair has not written yet is not to be written.
        let _ = (to.into_parts(), notes.into_parts());
        let repaired = repaired.map_err(|error| repair_failed(error, place.session(), &path))?;
        new.has(moves);
        // The quarantine first: once the new file is in place, what was taken out must be there.
        quarantine.sync()?;
        new.sync()?;
        Ok(repaired)
    }

    /// Takes back what a failed repair has written into the quarantine. If the turn was lost
    /// meanwhile, a new holder may write into it, and it stays as it is.
    fn cut_back(&self, open: &OpenTurn, quarantine: &QuarantineFile) {
        if let Ok(Some(_section)) = Section::lock_within(SOON, &self.slot.place, false)
            && self.fence(open).is_ok()
        {
            quarantine.cut_back();
        }
    }

    fn finish_repair(
        &self,
        open: &mut OpenTurn,
        section: Section,
        repaired: RepairedFile,
    ) -> Result<()> {
        let RepairedFile { view, new, repair, mut quarantine } = repaired;
        let installed = self.install_repaired(open, section, &view, new, &quarantine);
        if !matches!(installed, Ok(()) | Err(Error::Unsynced { .. })) {
            self.cut_back(open, &quarantine);
            return installed;
        }
        let noted = repair.map_or(Ok(()), |repair| quarantine.note_installed(repair));
        if let Err(error) = noted {
            // The `end` names the file that is in place now, and can be undone by that.
            note!(WARN, [slot = self.slot.clone(), error = error.to_string()],
                session = %slot.place.session().display(),
                %error,
                "repaired, but that could not be marked in the quarantine");
        }
        installed
    }

    fn install_repaired(
        &self,
        open: &mut OpenTurn,
        section: Section,
        view: &View,
        mut new: Replacement,
        quarantine: &QuarantineFile,
    ) -> Result<()> {
        self.fence(open)?;
        self.ensure_unchanged(view, &section)?;
        self.ensure_nobody_writes(section.file())?;
        quarantine.ensure_named()?;
        // What came meanwhile was not examined, and stays as it is.
        new.carry(section.file(), view.end()..section.len())?;
        let unseen = section.len().saturating_sub(open.seen.end());
        self.install(open, section, new, unseen)
    }

    /// Puts the new file in place. The holder has neither seen nor been told of `unseen` bytes of
    /// the old one.
    fn install(
        &self,
        open: &mut OpenTurn,
        section: Section,
        new: Replacement,
        unseen: u64,
    ) -> Result<()> {
        let Installed { mut section, late, synced } = new.install(section)?;
        open.seen.moved(&mut section, unseen + late);
        self.tell_children(open);
        open.session = section.unlock();
        synced
    }

    /// Fails if another process would go on writing into the file after another one has taken its
    /// place. Whoever opens the file after this look, and writes before it is replaced, is seen to
    /// by [`Replacement::install`].
    fn ensure_nobody_writes(&self, session: &File) -> Result<()> {
        let path = self.slot.place.session();
        if !self.rules.looks_for_writers {
            return Ok(());
        }
        let writers = sys::writers(session).context("look who has open", path)?;
        let Some(first) = writers.first() else { return Ok(()) };
        Err(Error::OpenElsewhere {
            session: path.to_owned(),
            pid: first.pid,
            program: first.program.clone(),
            more: writers.len() - 1,
        })
    }

    /// Fails if the session is not any more what was looked at, and perhaps more.
    fn ensure_unchanged(&self, view: &View, section: &Section) -> Result<()> {
        let change = view.change(section, true).context("read", self.slot.place.session())?;
        change.map_or(Ok(()), |how| Err(self.changed(how)))
    }

    fn prepare_restore(&self, view: View) -> Result<RestoredFile> {
        let place = &self.slot.place;
        self.ensure_nobody_writes(view.file())?;
        let mut new = Replacement::beside(place, view.file())?;
        new.keep_time();
        let mut to = BufWriter::new(&mut new);
        let quarantine = quarantine_path(place.session());
        let (trace, mut moves) = (trace_of(view.file()), Moves::default());
        let restored = open_quarantine(place, view.file())
            .and_then(|entries| {
                let trace = trace.as_deref();
                take_back(&view.file(), view.end(), trace, entries.file(), &mut to, &mut moves)
            })
            .map_err(|source| Error::Restore {
                session: place.session().to_owned(),
                quarantine,
                source: Box::new(source),
            })?;
        to.flush().context("write", place.session())?;
        drop(to);
        new.has(moves);
        new.sync()?;
        Ok(RestoredFile { view, new, restored })
    }

    fn finish_restore(
        &self,
        open: &mut OpenTurn,
        section: Section,
        original: RestoredFile,
    ) -> Result<()> {
        let RestoredFile { view, mut new, restored } = original;
        self.fence(open)?;
        self.ensure_unchanged(&view, &section)?;
        self.ensure_nobody_writes(section.file())?;
        new.carry_lines(section.file(), view.end()..section.len())?;
        let quarantine = QuarantineFile::open(&self.slot.place, section.file());
        let unseen = section.len().saturating_sub(open.seen.end());
        self.install(open, section, new, unseen)?;
        // The session is restored, whether that is noted or not: the next restore recognises the
        // original when it sees it.
        let noted = quarantine.and_then(|mut quarantine| quarantine.note_undone(restored.repair));
        if let Err(error) = noted {
            note!(WARN, [slot = self.slot.clone(), error = error.to_string()],
                session = %slot.place.session().display(),
                %error,
                "restored, but the quarantine could not be marked");
        }
        Ok(())
    }
}

/// What tells the session file from every other file, as the quarantine has it.
fn trace_of(session: &File) -> Option<String> {
    let (session, _) = Pinned::new(session.try_clone().ok()?).ok()?;
    Some(session.trace()?.to_string())
}

fn open_quarantine(
    place: &Place,
    session: &File,
) -> std::result::Result<Arc<Pinned>, RestoreError> {
    match quarantine::open_to_read(place, session) {
        Ok(entries) => Ok(entries.into_pinned()),
        Err(ReadError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(RestoreError::NoQuarantine)
        }
        Err(error) => {
            let remedy = match &error {
                ReadError::Open { source, .. } => Refusal::of(source).map(Refusal::remedy),
                _ => None,
            };
            let text = format!("{error}{}", remedy.unwrap_or_default());
            Err(RestoreError::Quarantine(io::Error::other(text)))
        }
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
