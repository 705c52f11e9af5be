//! Restore: undoes a repair. The repaired file and the quarantine give the original, byte for byte.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;

use uuid::Uuid;

use super::edits::{Spot, Step, next_step};
use super::lines::Lines;
use super::moves::Moves;
use super::quarantine::{Entry, Fingerprint, PIECE, Tally, decode};
use super::scan::{Item, MAX_LINE};
use super::sink::Sink;
use super::source::{ReadAt, Window};

/// Why a repair cannot be undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The quarantine cannot be read.
    #[error("cannot read the quarantine: {0}")]
    Quarantine(#[source] io::Error),
    /// The quarantine has no complete repair that was not undone yet.
    #[error("there is no repair to undo")]
    NothingToUndo,
    /// There is no quarantine beside the session: it was never repaired, or the quarantine was
    /// removed.
    #[error("there is no quarantine, so no repair that could be undone; name the repaired session")]
    NoQuarantine,
    /// The session file does not begin with what the repair left.
    #[error(
        "the session file was changed after its repair of {time} ({} bytes then, {} now), so the \
         repair cannot be undone; the bytes that it took out are in the quarantine",
        repaired.length, found.length
    )]
    Changed {
        /// When the repair was made.
        time: String,
        /// The session file as the repair left it.
        repaired: Fingerprint,
        /// The session file as it is.
        found: Fingerprint,
    },
    /// The session file is as it was before the repair. The repair was undone, or never took
    /// effect.
    #[error("the session file is as it was before its repair of {time}: there is nothing to undo")]
    AlreadyOriginal {
        /// When the repair was made.
        time: String,
    },
    /// The entries of the repair do not match the session file or each other.
    #[error("the quarantine is damaged ({why}), so the repair cannot be undone")]
    Corrupt {
        /// What does not match.
        why: &'static str,
    },
    /// The session file cannot be read.
    #[error("cannot read the session file: {0}")]
    Read(#[source] io::Error),
    /// The restored file cannot be written.
    #[error("cannot write the restored session file: {0}")]
    Write(#[source] io::Error),
}

/// A repair that was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The id of the repair.
    pub repair: Uuid,
    /// When the repair was made (RFC 3339, UTC).
    pub time: String,
    /// The session file as it was before the repair, and is again.
    pub original: Fingerprint,
    /// The number of bytes that were appended since the repair. They follow the original, on lines
    /// of their own.
    pub appended: u64,
}

/// Writes to `out` the session file as it was before its latest repair that was not undone yet, and
/// behind it what was appended since.
///
/// `repaired` is the session file as it is now, `length` its length in bytes, and `file` what tells
/// it from other files, where that is known. A repair counts only if it is marked as installed, or
/// if `file` is the file that it made. `moves` gets what was kept. Blocks while both files are read
/// twice. Memory is bounded.
///
/// # Errors
///
/// [`RestoreError::Changed`] if the session file does not begin any more with what the repair left,
/// before anything is written. After any other error, `out` may have been written to and must be
/// discarded. It is the original only if this succeeds, because the digest is compared at the end.
pub(crate) fn take_back(
    repaired: &impl ReadAt,
    length: u64,
    file: Option<&str>,
    quarantine: &impl ReadAt,
    out: &mut impl Sink,
    moves: &mut Moves,
) -> Result<Restored, RestoreError> {
    let repairs = latest_first(quarantine, file)?;
    let (out, window) = (Tally::new(out), Window::new(PIECE));
    let mut undo = Undo { repaired, out, moves, window, at: 0, end: 0, pieces: 0 };
    let repair = undo.choose(repairs, length)?;
    undo.end = repair.repaired.length;
    for entry in entries(quarantine) {
        match entry? {
            Entry::Piece {
                repair: id, offset, length, bytes, inserted, inserted_length, ..
            } if id == repair.id => {
                let inserted = inserted_length.unwrap_or(inserted.len() as u64);
                undo.put_back(offset, length, &bytes, inserted)?;
            }
            Entry::Pieces { repair: id, offset, steps, .. } if id == repair.id => {
                undo.put_back_all(offset, &steps)?;
            }
            Entry::Nuls { repair: id, offset, length, hole, inserted, .. } if id == repair.id => {
                undo.put_back_nuls(offset, length, hole, &inserted, &repair)?;
            }
            _ => {}
        }
    }
    undo.finish(&repair)?;
    let appended = undo.append(length)?;
    Ok(Restored { repair: repair.id, time: repair.time, original: repair.original, appended })
}

/// Takes back a repair, for a session file of which only the contents are known.
///
/// # Errors
///
/// Those of `take_back`.
#[cfg(any(test, feature = "testing"))]
pub fn restore(
    repaired: &impl ReadAt,
    length: u64,
    quarantine: &impl ReadAt,
    out: &mut impl io::Write,
) -> Result<Restored, RestoreError> {
    take_back(repaired, length, None, quarantine, &mut Whole(out), &mut Moves::default())
}

/// A writer that knows nothing of holes.
#[cfg(any(test, feature = "testing"))]
struct Whole<'a, W>(&'a mut W);

#[cfg(any(test, feature = "testing"))]
impl<W: io::Write> io::Write for Whole<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(any(test, feature = "testing"))]
impl<W: io::Write> Sink for Whole<'_, W> {}

/// A complete repair.
struct Complete {
    id: Uuid,
    time: String,
    pieces: u64,
    original: Fingerprint,
    repaired: Fingerprint,
    /// Whether its file was put in place.
    installed: bool,
}

/// The entries that can be read. The digest shows whether one is missing.
fn entries(quarantine: &impl ReadAt) -> impl Iterator<Item = Result<Entry, RestoreError>> {
    Lines::new(quarantine, 0..u64::MAX, MAX_LINE).filter_map(|item| match item {
        Ok(Item::Line(line)) => serde_json::from_slice(line.bytes.as_deref()?).ok().map(Ok),
        Ok(Item::Damage(_)) => None,
        Err(error) => Some(Err(RestoreError::Quarantine(error))),
    })
}

/// The repairs that took effect and were not undone, the latest first. `file` tells the session
/// file from others.
fn latest_first(
    quarantine: &impl ReadAt,
    file: Option<&str>,
) -> Result<Vec<Complete>, RestoreError> {
    // By id, with the place of its `end` in the quarantine.
    let mut repairs: HashMap<Uuid, (usize, Complete)> = HashMap::new();
    for (place, entry) in entries(quarantine).enumerate() {
        match entry? {
            Entry::End { repair: id, time, pieces, original, repaired, file: made } => {
                let installed = made.is_some() && made.as_deref() == file;
                let complete = Complete { id, time, pieces, original, repaired, installed };
                repairs.insert(id, (place, complete));
            }
            Entry::Installed { repair, .. } => {
                repairs.entry(repair).and_modify(|(_, one)| one.installed = true);
            }
            Entry::Undone { repair, .. } => drop(repairs.remove(&repair)),
            Entry::Begin { .. }
            | Entry::Piece { .. }
            | Entry::Pieces { .. }
            | Entry::Nuls { .. } => {}
        }
    }
    let mut installed: Vec<_> = repairs.into_values().filter(|(_, one)| one.installed).collect();
    installed.sort_unstable_by_key(|(place, _)| Reverse(*place));
    Ok(installed.into_iter().map(|(_, one)| one).collect())
}

/// A restore in progress.
struct Undo<'a, S, W> {
    repaired: &'a S,
    out: Tally<W>,
    moves: &'a mut Moves,
    window: Window,
    /// The offset up to which the repaired file has been copied.
    at: u64,
    /// The length of the repaired file.
    end: u64,
    pieces: u64,
}

impl<S: ReadAt, W: Sink> Undo<'_, S, W> {
    /// The repair to be undone. One whose damage is in the file is passed over: either its undoing
    /// was not noted, or the same damage has come again. Those before it can be undone all the
    /// same.
    fn choose(&mut self, repairs: Vec<Complete>, length: u64) -> Result<Complete, RestoreError> {
        let mut refused = None;
        for repair in repairs {
            match self.check(&repair, length) {
                Ok(()) => return Ok(repair),
                Err(is_there @ RestoreError::AlreadyOriginal { .. }) => {
                    refused.get_or_insert(is_there);
                }
                Err(error) => return Err(refused.unwrap_or(error)),
            }
        }
        Err(refused.unwrap_or(RestoreError::NothingToUndo))
    }

    /// Checks that the session file begins with what the repair left.
    fn check(&mut self, repair: &Complete, length: u64) -> Result<(), RestoreError> {
        let Complete { repaired, original, .. } = repair;
        let mut tally = Tally::new(io::sink());
        let (mut is_repaired, mut is_original) = (false, false);
        for end in [repaired.length.min(original.length), repaired.length.max(original.length)] {
            if end <= length {
                self.read_to(end, &mut tally)?;
                let here = tally.fingerprint();
                is_repaired |= here == *repaired;
                is_original |= here == *original;
            }
        }
        // Where one begins with the other, the longer one tells.
        if is_repaired && !(is_original && original.length > repaired.length) {
            return Ok(());
        }
        let time = repair.time.clone();
        if is_original {
            return Err(RestoreError::AlreadyOriginal { time });
        }
        self.read_to(length, &mut tally)?;
        let (repaired, found) = (repaired.clone(), tally.fingerprint());
        Err(RestoreError::Changed { time, repaired, found })
    }

    fn read_to(&mut self, end: u64, tally: &mut Tally<io::Sink>) -> Result<(), RestoreError> {
        while tally.length() < end {
            let front = self.window.front(self.repaired, tally.length()..end);
            let copied = front.and_then(|bytes| tally.put(bytes));
            copied.map_err(RestoreError::Read)?;
        }
        Ok(())
    }

    fn put_back(
        &mut self,
        offset: u64,
        length: u64,
        bytes: &str,
        inserted: u64,
    ) -> Result<(), RestoreError> {
        self.copy_to(offset)?;
        let bytes = decode(bytes).filter(|bytes| bytes.len() as u64 == length);
        let bytes = bytes.ok_or_else(|| corrupt("a piece cannot be decoded"))?;
        self.out.put(&bytes).map_err(RestoreError::Write)?;
        self.at = self.at.saturating_add(inserted);
        self.pieces += 1;
        Ok(())
    }

    fn put_back_nuls(
        &mut self,
        offset: u64,
        length: u64,
        hole: bool,
        inserted: &str,
        repair: &Complete,
    ) -> Result<(), RestoreError> {
        self.copy_to(offset)?;
        // A quarantine that was changed must not fill the disk.
        if repair.original.length.checked_sub(offset).is_none_or(|left| left < length) {
            return Err(corrupt("a piece lies beyond the end"));
        }
        self.out.put_nuls(length, hole).map_err(RestoreError::Write)?;
        self.at += inserted.len() as u64;
        self.pieces += 1;
        Ok(())
    }

    /// Puts many short pieces back.
    fn put_back_all(&mut self, offset: u64, steps: &str) -> Result<(), RestoreError> {
        self.copy_to(offset)?;
        let steps = decode(steps).ok_or_else(|| corrupt("pieces cannot be decoded"))?;
        let mut steps = &steps[..];
        while !steps.is_empty() {
            let step = next_step(&mut steps);
            match step.ok_or_else(|| corrupt("pieces cannot be decoded"))? {
                Step::Lines(lines) => {
                    for _ in 0..lines {
                        self.copy_line()?;
                        self.out.put(b"\n").map_err(RestoreError::Write)?;
                        self.at += 1;
                    }
                }
                Step::Replace(inserted, removed) => {
                    self.out.put(removed).map_err(RestoreError::Write)?;
                    self.at = self.at.saturating_add(inserted);
                }
                Step::Put(spot, removed) => {
                    if spot != Spot::Here {
                        self.copy_line()?;
                    }
                    self.at += u64::from(spot == Spot::Newline);
                    self.out.put(removed).map_err(RestoreError::Write)?;
                }
            }
        }
        self.pieces += 1;
        Ok(())
    }

    /// Copies the rest of the line from the repaired file, without its newline.
    fn copy_line(&mut self) -> Result<(), RestoreError> {
        loop {
            let front = self.window.front(self.repaired, self.at..self.end);
            let bytes = front.map_err(RestoreError::Read)?;
            if bytes.is_empty() {
                return Err(corrupt("a piece lies beyond the end"));
            }
            let newline = memchr::memchr(b'\n', bytes);
            let line = &bytes[..newline.unwrap_or(bytes.len())];
            self.at += line.len() as u64;
            self.out.put(line).map_err(RestoreError::Write)?;
            if newline.is_some() {
                return Ok(());
            }
        }
    }

    /// Copies the repaired file up to what was at this offset of the original.
    fn copy_to(&mut self, offset: u64) -> Result<(), RestoreError> {
        let healthy = offset.checked_sub(self.out.length());
        self.copy(healthy.ok_or_else(|| corrupt("pieces overlap"))?)
    }

    /// Copies the next `count` bytes of the repaired file.
    fn copy(&mut self, count: u64) -> Result<(), RestoreError> {
        let end = self.at.checked_add(count);
        let end = end.ok_or_else(|| corrupt("a piece lies beyond the end"))?;
        self.moves.add(self.at, self.out.length(), count);
        while self.at < end {
            let front = self.window.front(self.repaired, self.at..end);
            let bytes = front.map_err(RestoreError::Read)?;
            self.at += bytes.len() as u64;
            self.out.put(bytes).map_err(RestoreError::Write)?;
        }
        Ok(())
    }

    fn finish(&mut self, repair: &Complete) -> Result<(), RestoreError> {
        let left = repair.repaired.length.checked_sub(self.at);
        let left = left.ok_or_else(|| corrupt("a piece lies beyond the end"))?;
        self.copy(left)?;
        if self.pieces != repair.pieces {
            return Err(corrupt("pieces are missing"));
        }
        if self.out.fingerprint() != repair.original {
            return Err(corrupt("the digest differs"));
        }
        Ok(())
    }

    /// Copies what was appended to the repaired file, which has `length` bytes, as lines of their
    /// own. Returns how many bytes that were.
    fn append(&mut self, length: u64) -> Result<u64, RestoreError> {
        let appended = length - self.end;
        let front = self.window.front(self.repaired, self.at..length);
        let is_glued = front.map_err(RestoreError::Read)?.first().is_some_and(|it| *it != b'\n');
        if is_glued && self.out.is_in_line() {
            self.out.put(b"\n").map_err(RestoreError::Write)?;
        }
        self.copy(appended)?;
        Ok(appended)
    }
}

fn corrupt(why: &'static str) -> RestoreError {
    RestoreError::Corrupt { why }
}
