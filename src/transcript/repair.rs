//! Takes the damage out of a session file, into the quarantine.
//!
//! Nothing here locks, renames or syncs: a turn does that around it. Two things hold for whatever the file contains: the
//! repaired file and the quarantine together give the original, byte for byte ([`restore`](super::restore::restore)); and every
//! record that was whole before is there after, once, in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;
use uuid::Uuid;

use super::damage::{Damage, DamageKind, Edit};
use super::quarantine::{Entry, PIECE, Tally, encode, now, write_entry};
use super::scan::{Item, Scanner};
use super::source::{ReadAt, Window};

/// What is wrong with a session file, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Survey {
    /// Whole lines, blank ones not counted.
    pub lines: u64,
    /// How many times each kind of damage was found; kinds not found are left out.
    pub damages: BTreeMap<DamageKind, u64>,
    /// Whole records in damaged lines.
    pub records_saved: u64,
    /// Bytes to be taken out, or taken out.
    pub bytes_removed: u64,
    /// Newlines to be put in, or put in.
    pub newlines_inserted: u64,
}

impl Survey {
    /// Whether there is nothing to repair.
    pub fn is_healthy(&self) -> bool {
        self.damages.is_empty()
    }

    pub(crate) fn count(&mut self, damage: &Damage) {
        *self.damages.entry(damage.kind).or_default() += 1;
        self.records_saved += damage.saved.len() as u64;
        for edit in damage.edits() {
            self.bytes_removed += edit.removed.end - edit.removed.start;
            self.newlines_inserted += u64::from(edit.newline);
        }
    }
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Repair {
    /// Its name in the quarantine; `None` if there was nothing to repair, and nothing was written.
    pub id: Option<Uuid>,
    /// What was found, and put right.
    pub survey: Survey,
    /// How many bytes of the original were taken into account. What others appended since is behind them.
    pub original_length: u64,
    /// How long the repaired file is.
    pub repaired_length: u64,
}

impl Repair {
    /// Whether anything was written.
    pub fn changed(&self) -> bool {
        self.id.is_some()
    }
}

/// Why a repair did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The session file cannot be read.
    #[error("cannot read the session file: {0}")]
    Read(#[source] io::Error),
    /// The repaired file cannot be written.
    #[error("cannot write the repaired session file: {0}")]
    WriteRepaired(#[source] io::Error),
    /// The quarantine cannot be written.
    #[error("cannot write the quarantine: {0}")]
    WriteQuarantine(#[source] io::Error),
}

/// Counts what is wrong with the first `length` bytes of a file, and changes nothing.
///
/// Blocks while they are read.
///
/// # Errors
///
/// Those of reading.
pub fn survey(original: &impl ReadAt, length: u64) -> io::Result<Survey> {
    let mut survey = Survey::default();
    let mut scanner = scanner(original, length);
    while let Some(item) = scanner.next_item()? {
        match item {
            Item::Line(_) => survey.lines += 1,
            Item::Damage(damage) => survey.count(&damage),
        }
    }
    Ok(survey)
}

/// Writes the first `length` bytes of a session file to `repaired` without what is damaged, and that to `quarantine`.
///
/// It looks first: if nothing is damaged, nothing is written. `quarantine` should be at the beginning of a line. Both are
/// written in pieces that may be small, so buffer them, and in order. Make them durable, the quarantine first, before the repaired file takes the place of
/// the original. Blocks; memory is bounded whatever the file contains.
///
/// # Errors
///
/// Those of reading and writing. The original is as it was; what was written to the quarantine by then is not valid without
/// its `end` and does no harm.
pub fn repair(
    original: &impl ReadAt,
    length: u64,
    repaired: &mut impl Write,
    quarantine: &mut impl Write,
) -> Result<Repair, RepairError> {
    match needless(original, length).map_err(RepairError::Read)? {
        Some(repair) => Ok(repair),
        None => take_out(original, length, repaired, quarantine),
    }
}

/// The repair of a file in which nothing is damaged.
pub(crate) fn needless(original: &impl ReadAt, length: u64) -> io::Result<Option<Repair>> {
    Ok(healthy_lines(original, length)?.map(|lines| Repair {
        id: None,
        survey: Survey { lines, ..Survey::default() },
        original_length: length,
        repaired_length: length,
    }))
}

/// [`repair`] without the first look.
pub(crate) fn take_out(
    original: &impl ReadAt,
    length: u64,
    repaired: &mut impl Write,
    quarantine: &mut impl Write,
) -> Result<Repair, RepairError> {
    Run::new(original, repaired, quarantine).finish(length)
}

/// How many whole lines there are, if nothing is damaged.
fn healthy_lines(original: &impl ReadAt, length: u64) -> io::Result<Option<u64>> {
    let mut lines = 0;
    let mut scanner = scanner(original, length);
    while let Some(item) = scanner.next_item()? {
        let Item::Line(_) = item else {
            return Ok(None);
        };
        lines += 1;
    }
    Ok(Some(lines))
}

fn scanner<S: ReadAt>(original: &S, length: u64) -> Scanner<&S> {
    // The bytes are copied by range, so none need be handed out.
    Scanner::new(original).part(0..length).max_line(0)
}

/// A repair at work.
struct Run<'a, S, R, Q> {
    id: Uuid,
    time: String,
    original: &'a S,
    repaired: Tally<R>,
    quarantine: Q,
    /// Everything that was read, in order.
    read: Tally<io::Sink>,
    window: Window,
    pieces: u64,
    survey: Survey,
}

impl<'a, S: ReadAt, R: Write, Q: Write> Run<'a, S, R, Q> {
    fn new(original: &'a S, repaired: R, quarantine: Q) -> Self {
        Self {
            id: Uuid::now_v7(),
            time: now(),
            original,
            repaired: Tally::new(repaired),
            quarantine,
            read: Tally::new(io::sink()),
            window: Window::new(PIECE),
            pieces: 0,
            survey: Survey::default(),
        }
    }

    fn finish(mut self, length: u64) -> Result<Repair, RepairError> {
        self.note(&Entry::Begin {
            repair: self.id,
            time: self.time.clone(),
            original_length: length,
        })?;
        let mut scanner = scanner(self.original, length);
        while let Some(item) = scanner.next_item().map_err(RepairError::Read)? {
            match item {
                Item::Line(_) => self.survey.lines += 1,
                Item::Damage(damage) => self.mend(&damage)?,
            }
        }
        self.keep(self.read.length()..length)?;
        self.note(&Entry::End {
            repair: self.id,
            time: now(),
            pieces: self.pieces,
            original: self.read.fingerprint(),
            repaired: self.repaired.fingerprint(),
        })?;
        Ok(Repair {
            id: Some(self.id),
            survey: self.survey,
            original_length: length,
            repaired_length: self.repaired.length(),
        })
    }

    fn mend(&mut self, damage: &Damage) -> Result<(), RepairError> {
        self.survey.count(damage);
        for edit in damage.edits() {
            self.keep(self.read.length()..edit.removed.start)?;
            self.take_out(&edit, damage.kind)?;
        }
        Ok(())
    }

    /// Copies a healthy stretch.
    fn keep(&mut self, mut range: Range<u64>) -> Result<(), RepairError> {
        while !range.is_empty() {
            let front = self.window.front(self.original, range.clone());
            let bytes = front.map_err(RepairError::Read)?;
            range.start += bytes.len() as u64;
            let written = self.repaired.put(bytes);
            written.map_err(RepairError::WriteRepaired)?;
            self.read.put(bytes).map_err(RepairError::Read)?;
        }
        Ok(())
    }

    /// Moves a stretch to the quarantine and puts in the newline, if it needs one.
    fn take_out(&mut self, edit: &Edit, kind: DamageKind) -> Result<(), RepairError> {
        let mut range = edit.removed.clone();
        loop {
            let front = self.window.front(self.original, range.clone());
            let bytes = front.map_err(RepairError::Read)?;
            self.read.put(bytes).map_err(RepairError::Read)?;
            let offset = range.start;
            range.start += bytes.len() as u64;
            let last = range.is_empty();
            let entry = Entry::Piece {
                repair: self.id,
                offset,
                length: bytes.len() as u64,
                reason: kind.name().to_owned(),
                bytes: encode(bytes),
                inserted: if last && edit.newline { "\n" } else { "" }.to_owned(),
                time: self.time.clone(),
            };
            self.note(&entry)?;
            self.pieces += 1;
            if last {
                break;
            }
        }
        if edit.newline {
            let written = self.repaired.put(b"\n");
            written.map_err(RepairError::WriteRepaired)?;
        }
        Ok(())
    }

    fn note(&mut self, entry: &Entry) -> Result<(), RepairError> {
        write_entry(&mut self.quarantine, entry).map_err(RepairError::WriteQuarantine)
    }
}

#[cfg(test)]
mod tests;
