//! Takes a repair back: from the repaired file and the quarantine comes the original, byte for byte.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::quarantine::{Entry, Fingerprint, Tally, decode};
use super::read::{ReadError, RecordError, Transcript};
use super::source::{ReadAt, Window};

/// Why a repair cannot be taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The quarantine cannot be read.
    #[error(transparent)]
    Quarantine(#[from] ReadError),
    /// The quarantine has no repair that came to its end and was not taken back.
    #[error("{}: there is no repair in it to take back", path.display())]
    NothingToUndo {
        /// The quarantine.
        path: PathBuf,
    },
    /// The session file is not as the repair left it.
    #[error(
        "the session file was changed after its repair of {time} ({} bytes then, {} now), so the repair cannot be taken \
         back; the bytes that it took out are in {}", repaired.length, found.length, path.display()
    )]
    Changed {
        /// The quarantine.
        path: PathBuf,
        /// When the repair was made.
        time: String,
        /// The session file as the repair left it.
        repaired: Fingerprint,
        /// The session file as it is.
        found: Fingerprint,
    },
    /// The session file is as it was before the repair, which has been taken back or never took effect.
    #[error(
        "the session file is as it was before its repair of {time}: there is nothing to take back"
    )]
    AlreadyOriginal {
        /// When the repair was made.
        time: String,
    },
    /// The entries of the repair do not fit the session file or each other.
    #[error("{}: the quarantine is damaged ({why}), so the repair cannot be taken back", path.display())]
    Corrupt {
        /// The quarantine.
        path: PathBuf,
        /// What does not fit.
        why: &'static str,
    },
    /// The session file cannot be read.
    #[error("cannot read the session file: {0}")]
    Read(#[source] io::Error),
    /// The restored file cannot be written.
    #[error("cannot write the restored session file: {0}")]
    Write(#[source] io::Error),
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The repair that was taken back; for [`mark_undone`](super::quarantine::mark_undone).
    pub repair: Uuid,
    /// When it was made.
    pub time: String,
    /// The session file as it was before, and as `out` is now.
    pub original: Fingerprint,
}

/// Writes to `out` the session file as it was before its latest repair that was not taken back yet.
///
/// `repaired` is the session file as it is, `length` its length. Blocks; memory is bounded.
///
/// # Errors
///
/// If something was appended or changed since the repair; before anything is written. If the quarantine turns out to be damaged,
/// `out` has been written to and must be thrown away: it is the original only when this succeeds, for its checksum is
/// compared at the end.
pub fn restore(
    repaired: &impl ReadAt,
    length: u64,
    quarantine: &Path,
    out: &mut impl Write,
) -> Result<Restored, RestoreError> {
    let entries = match Transcript::open(quarantine) {
        Err(ReadError::Open { path, source }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(RestoreError::NothingToUndo { path });
        }
        opened => opened?,
    };
    let repair = latest(&entries, quarantine)?;
    let mut undo = Undo {
        repaired,
        quarantine,
        out: Tally::new(out),
        window: Window::new(super::quarantine::PIECE),
        at: 0,
        pieces: 0,
    };
    undo.check(&repair, length)?;
    for entry in all(&entries) {
        if let Entry::Piece { repair: id, offset, length, bytes, inserted, .. } = entry?
            && id == repair.id
        {
            undo.put_back(offset, length, &bytes, &inserted)?;
        }
    }
    undo.finish(&repair)?;
    Ok(Restored { repair: repair.id, time: repair.time, original: repair.original })
}

/// A repair that came to its end.
struct Complete {
    id: Uuid,
    time: String,
    pieces: u64,
    original: Fingerprint,
    repaired: Fingerprint,
}

/// The entries that can be read. Whether something is missing shows in the checksum.
fn all(entries: &Transcript) -> impl Iterator<Item = Result<Entry, RestoreError>> {
    entries.records::<Entry>().filter_map(|entry| match entry {
        Ok(entry) => Some(Ok(entry)),
        Err(RecordError::Read(error)) => Some(Err(error.into())),
        Err(_) => None,
    })
}

fn latest(entries: &Transcript, path: &Path) -> Result<Complete, RestoreError> {
    let mut repairs = Vec::new();
    for entry in all(entries) {
        match entry? {
            Entry::End { repair: id, time, pieces, original, repaired } => {
                repairs.push(Complete { id, time, pieces, original, repaired })
            }
            Entry::Undone { repair, .. } => repairs.retain(|one: &Complete| one.id != repair),
            Entry::Begin { .. } | Entry::Piece { .. } => {}
        }
    }
    repairs.pop().ok_or_else(|| RestoreError::NothingToUndo { path: path.to_owned() })
}

/// An undo at work.
struct Undo<'a, S, W> {
    repaired: &'a S,
    quarantine: &'a Path,
    out: Tally<W>,
    window: Window,
    /// How far the repaired file has been read.
    at: u64,
    pieces: u64,
}

impl<S: ReadAt, W: Write> Undo<'_, S, W> {
    /// Compares the session file with what the repair left.
    fn check(&mut self, repair: &Complete, length: u64) -> Result<(), RestoreError> {
        let mut tally = Tally::new(io::sink());
        while tally.length() < length {
            let front = self.window.front(self.repaired, tally.length()..length);
            let copied = front.and_then(|bytes| tally.put(bytes));
            copied.map_err(RestoreError::Read)?;
        }
        let found = tally.fingerprint();
        if found == repair.repaired {
            return Ok(());
        }
        let time = repair.time.clone();
        if found == repair.original {
            return Err(RestoreError::AlreadyOriginal { time });
        }
        Err(RestoreError::Changed {
            path: self.quarantine.to_owned(),
            time,
            repaired: repair.repaired.clone(),
            found,
        })
    }

    fn put_back(
        &mut self,
        offset: u64,
        length: u64,
        bytes: &str,
        inserted: &str,
    ) -> Result<(), RestoreError> {
        let healthy = offset.checked_sub(self.out.length());
        let healthy = healthy.ok_or_else(|| self.corrupt("pieces overlap"))?;
        self.copy(healthy)?;
        let bytes = decode(bytes).filter(|bytes| bytes.len() as u64 == length);
        let bytes = bytes.ok_or_else(|| self.corrupt("a piece cannot be decoded"))?;
        self.out.put(&bytes).map_err(RestoreError::Write)?;
        self.at += inserted.len() as u64;
        self.pieces += 1;
        Ok(())
    }

    /// Copies so many bytes of the repaired file.
    fn copy(&mut self, count: u64) -> Result<(), RestoreError> {
        let end = self.at.checked_add(count);
        let end = end.ok_or_else(|| self.corrupt("a piece lies beyond the end"))?;
        while self.at < end {
            let front = self.window.front(self.repaired, self.at..end);
            let bytes = front.map_err(RestoreError::Read)?;
            self.at += bytes.len() as u64;
            self.out.put(bytes).map_err(RestoreError::Write)?;
        }
        Ok(())
    }

    fn finish(mut self, repair: &Complete) -> Result<(), RestoreError> {
        let left = repair.repaired.length.checked_sub(self.at);
        let left = left.ok_or_else(|| self.corrupt("a piece lies beyond the end"))?;
        self.copy(left)?;
        if self.pieces != repair.pieces {
            return Err(self.corrupt("pieces are missing"));
        }
        if self.out.fingerprint() != repair.original {
            return Err(self.corrupt("the checksum differs"));
        }
        Ok(())
    }

    fn corrupt(&self, why: &'static str) -> RestoreError {
        RestoreError::Corrupt { path: self.quarantine.to_owned(), why }
    }
}
