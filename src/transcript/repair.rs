//! Repair: moves the damaged bytes of a session file to the quarantine.
//!
//! Nothing here locks, renames or syncs. The turn that repairs does so. Two properties hold for any
//! contents of the file:
//!
//! - The repaired file and the quarantine together give the original, byte for byte
//!   ([`restore`](super::restore::restore)).
//! - Every whole line of the original, and every record that survives of a damaged one
//!   ([`dissect`](super::dissect)), is in the repaired file, once and in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;
use uuid::Uuid;

use super::damage::{Damage, DamageKind, Edit};
use super::edits::{Edits, Spot};
use super::look::{NewHeader, Objection};
use super::moves::Moves;
use super::parts::{self, Part};
#[cfg(any(test, feature = "testing"))]
use super::quarantine::mark_installed;
use super::quarantine::{Entry, LONG, PIECE, PLAIN, STEPS, Tally, encode, now, write_entry};
use super::scan::{Item, Scanner};
use super::source::{ReadAt, Window};
use super::split::Joiner;

/// Counts of the lines and the damage in a session file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Survey {
    /// The number of whole lines. Blank lines are not counted.
    pub lines: u64,
    /// How often each kind of damage was found. Kinds that were not found are left out.
    pub damages: BTreeMap<DamageKind, u64>,
    /// The number of whole records in damaged lines. A record that is nested in a cut one is none.
    pub records_saved: u64,
    /// The number of bytes that a repair removes, or has removed.
    pub bytes_removed: u64,
    /// The number of newlines that a repair inserts, or has inserted.
    pub newlines_inserted: u64,
}

impl Survey {
    /// Whether nothing is damaged.
    pub fn is_healthy(&self) -> bool {
        self.damages.is_empty()
    }

    /// Takes out of the counts the lines that a repair leaves alone, and returns their number.
    pub(crate) fn set_left_alone_apart(&mut self) -> u64 {
        self.damages.remove(&DamageKind::TooDeep).unwrap_or_default()
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
    /// The id of the repair in the quarantine. `None` if nothing was to be taken out. Nothing was
    /// written then.
    pub id: Option<Uuid>,
    /// What was found and repaired.
    pub survey: Survey,
    /// The length in bytes of the part of the session file that was repaired. Lines that others
    /// appended during the repair follow it and stay as they are.
    pub original_length: u64,
    /// The length in bytes of that part after the repair.
    pub repaired_length: u64,
    /// Whether the repaired file could not be given all file flags (`chattr`) of the old one.
    pub flags_lost: bool,
    /// The header that the file was given, if it had none, or not as its first record.
    pub header: Option<RepairedHeader>,
}

/// A header that a repair has put first. Programs that want one discard a file without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RepairedHeader {
    /// The line, without a newline.
    pub line: String,
    /// Which parts of it are not from the header that was lost, and where they are from.
    pub invented: Vec<String>,
    /// Whether it stood further down in the file.
    pub moved: bool,
}

impl Repair {
    /// Whether the session file was changed.
    pub fn changed(&self) -> bool {
        self.id.is_some()
    }
}

/// What was done about a session, and why nothing was done, if a repair would make things worse.
pub(crate) struct Careful {
    pub(crate) repair: Repair,
    pub(crate) refused: Option<Objection>,
}

/// Why a repair failed.
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

/// Counts the lines and the damage in the first `length` bytes of a file. Changes nothing.
///
/// Blocks while the bytes are read.
///
/// # Errors
///
/// The errors of reading.
#[cfg(any(test, feature = "testing"))]
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

/// Writes the first `length` bytes of a session file to `repaired`, without the damaged bytes.
/// Writes the damaged bytes to `quarantine`.
///
/// The file is scanned first. If nothing is damaged, nothing is written. Otherwise the repair is
/// marked as installed.
///
/// `quarantine` must be at the beginning of a line. Both outputs are written sequentially, in
/// pieces that may be small, so they should be buffered. Sync them, the quarantine first, before
/// the repaired file replaces the original. Blocks while the file is read twice. Memory is bounded
/// for any contents.
///
/// # Errors
///
/// The errors of reading and writing. The original is unchanged. Entries of an interrupted repair
/// in the quarantine have no `end` and are ignored.
#[cfg(any(test, feature = "testing"))]
pub fn repair(
    original: &impl ReadAt,
    length: u64,
    repaired: &mut impl Write,
    quarantine: &mut impl Write,
) -> Result<Repair, RepairError> {
    let survey = survey(original, length).map_err(RepairError::Read)?;
    if survey.damages.keys().all(|kind| *kind == DamageKind::TooDeep) {
        return Ok(needless(survey, length));
    }
    let moves = &mut Moves::default();
    let repair = take_out(original, length, None, None, repaired, quarantine, moves)?;
    let marked = repair.id.map_or(Ok(()), |id| mark_installed(quarantine, id));
    marked.map_err(RepairError::WriteQuarantine).map(|()| repair)
}

/// The result for a file of which nothing is to be changed.
pub(crate) fn needless(survey: Survey, length: u64) -> Repair {
    Repair {
        id: None,
        survey,
        original_length: length,
        repaired_length: length,
        flags_lost: false,
        header: None,
    }
}

/// [`repair`] without the first scan, and without the mark that the repaired file is in place.
/// `header` is put first. `file` is what tells that file from others. `moves` gets what was kept.
pub(crate) fn take_out(
    original: &impl ReadAt,
    length: u64,
    header: Option<&NewHeader>,
    file: Option<String>,
    repaired: &mut impl Write,
    quarantine: &mut impl Write,
    moves: &mut Moves,
) -> Result<Repair, RepairError> {
    Repairer::new(original, repaired, quarantine, moves).finish(length, header, file)
}

fn scanner<S: ReadAt>(original: &S, length: u64) -> Scanner<&S> {
    // The bytes are copied by range, so the scanner need not return any.
    Scanner::new(original).part(0..length).max_line(0)
}

/// Why a line is put first, and taken out where it stood, as the quarantine says it.
const HEADER: &str = "header";

/// A repair in progress.
struct Repairer<'a, S, R, Q> {
    id: Uuid,
    time: String,
    original: &'a S,
    repaired: Tally<R>,
    quarantine: Q,
    moves: &'a mut Moves,
    /// The fingerprint of everything that was read.
    read: Tally<io::Sink>,
    window: Window,
    /// The number of entries that hold edits.
    pieces: u64,
    /// How many edits still get an entry of their own although they are short.
    plain: u64,
    /// An edit that the next one may touch.
    last: Option<(Edit, DamageKind)>,
    /// Short edits that were not written yet.
    edits: Edits,
    /// The number of healthy lines behind the last edit.
    lines: u64,
    /// Whether something of a line was kept behind them.
    in_line: bool,
    survey: Survey,
}

impl<'a, S: ReadAt, R: Write, Q: Write> Repairer<'a, S, R, Q> {
    fn new(original: &'a S, repaired: R, quarantine: Q, moves: &'a mut Moves) -> Self {
        Self {
            id: Uuid::now_v7(),
            time: now(),
            original,
            repaired: Tally::new(repaired),
            quarantine,
            moves,
            read: Tally::new(io::sink()),
            window: Window::new(PIECE),
            pieces: 0,
            plain: PLAIN,
            last: None,
            edits: Edits::default(),
            lines: 0,
            in_line: false,
            survey: Survey::default(),
        }
    }

    fn finish(
        mut self,
        length: u64,
        header: Option<&NewHeader>,
        file: Option<String>,
    ) -> Result<Repair, RepairError> {
        self.note(&Entry::Begin {
            repair: self.id,
            time: self.time.clone(),
            original_length: length,
        })?;
        if let Some(header) = header {
            self.put_first(&header.line)?;
        }
        let moved = header.and_then(|header| header.moved.as_ref());
        let mut scanner = scanner(self.original, length);
        while let Some(item) = scanner.next_item().map_err(RepairError::Read)? {
            match item {
                Item::Line(line) => {
                    self.survey.lines += 1;
                    if moved == Some(&line.range) {
                        self.take_out_line(line.range.start..line.range.end + 1)?;
                    }
                }
                Item::Damage(mut damage) => {
                    self.survey.count(&damage);
                    damage.saved.retain(|record| moved != Some(record));
                    self.mend(&damage)?;
                }
            }
        }
        self.apply_last()?;
        self.note_edits()?;
        self.keep(self.read.length()..length)?;
        self.note(&Entry::End {
            repair: self.id,
            time: now(),
            pieces: self.pieces,
            original: self.read.fingerprint(),
            repaired: self.repaired.fingerprint(),
            file,
        })?;
        Ok(Repair {
            id: Some(self.id),
            survey: self.survey,
            original_length: length,
            repaired_length: self.repaired.length(),
            flags_lost: false,
            header: header.map(|header| RepairedHeader {
                line: header.line.clone(),
                invented: header.invented.clone(),
                moved: header.moved.is_some(),
            }),
        })
    }

    /// Begins the repaired file with a line that is not there in the original.
    fn put_first(&mut self, line: &str) -> Result<(), RepairError> {
        let line = format!("{line}\n");
        self.repaired.put(line.as_bytes()).map_err(RepairError::WriteRepaired)?;
        self.pieces += 1;
        self.note(&Entry::Piece {
            repair: self.id,
            offset: 0,
            length: 0,
            reason: HEADER.to_owned(),
            bytes: String::new(),
            inserted: line,
            inserted_length: None,
            time: self.time.clone(),
        })
    }

    /// Takes out a whole line with its newline.
    fn take_out_line(&mut self, line: Range<u64>) -> Result<(), RepairError> {
        self.apply_last()?;
        self.keep(self.read.length()..line.start)?;
        self.note_edits()?;
        let line = Edit { removed: line, newline: false, joined: false };
        self.take_out(&line, HEADER)?;
        (self.lines, self.in_line) = (0, false);
        Ok(())
    }

    fn mend(&mut self, damage: &Damage) -> Result<(), RepairError> {
        for edit in damage.edits() {
            match &mut self.last {
                Some((last, kind)) if *kind == damage.kind && last.touches(&edit) => {
                    last.join(&edit);
                }
                _ => {
                    self.apply_last()?;
                    self.last = Some((edit, damage.kind));
                }
            }
        }
        Ok(())
    }

    /// Applies the edit that none of the following touches.
    fn apply_last(&mut self) -> Result<(), RepairError> {
        let Some((edit, kind)) = self.last.take() else { return Ok(()) };
        self.keep(self.read.length()..edit.removed.start)?;
        let is_long = edit.removed.end - edit.removed.start >= LONG;
        if edit.joined {
            let apart = is_long || self.plain > 0;
            self.plain = self.plain.saturating_sub(1);
            self.join(&edit, apart)?;
        } else if is_long || self.plain > 0 {
            self.plain = self.plain.saturating_sub(1);
            self.note_edits()?;
            self.take_out(&edit, kind.name())?;
        } else {
            self.take_out_short(&edit)?;
        }
        if edit.newline {
            let written = self.repaired.put(b"\n");
            written.map_err(RepairError::WriteRepaired)?;
        }
        (self.lines, self.in_line) = (0, false);
        Ok(())
    }

    /// Copies healthy bytes to the repaired file.
    fn keep(&mut self, mut range: Range<u64>) -> Result<(), RepairError> {
        self.moves.add(range.start, self.repaired.length(), range.end - range.start);
        while !range.is_empty() {
            let front = self.window.front(self.original, range.clone());
            let bytes = front.map_err(RepairError::Read)?;
            range.start += bytes.len() as u64;
            self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
            self.in_line = bytes.last() != Some(&b'\n');
            let written = self.repaired.put(bytes);
            written.map_err(RepairError::WriteRepaired)?;
            self.read.put(bytes).map_err(RepairError::Read)?;
        }
        Ok(())
    }

    /// Moves the bytes of an edit to the quarantine, in entries of their own.
    fn take_out(&mut self, edit: &Edit, reason: &str) -> Result<(), RepairError> {
        let mut range = edit.removed.clone();
        loop {
            let part = parts::front(self.original, &mut self.window, range.clone());
            let part = part.map_err(RepairError::Read)?;
            let (repair, time, offset) = (self.id, self.time.clone(), range.start);
            range.start += part.length();
            let (reason, last) = (reason.to_owned(), range.is_empty());
            let inserted = if last && edit.newline { "\n" } else { "" }.to_owned();
            let length = range.start - offset;
            let entry = match part {
                Part::Bytes(bytes) => {
                    self.read.put(bytes).map_err(RepairError::Read)?;
                    let bytes = encode(bytes);
                    let inserted_length = None;
                    Entry::Piece {
                        repair,
                        offset,
                        length,
                        reason,
                        bytes,
                        inserted,
                        inserted_length,
                        time,
                    }
                }
                Part::Nuls { count, hole } => {
                    self.read.put_nuls(count, true).map_err(RepairError::Read)?;
                    Entry::Nuls { repair, offset, length, hole, reason, inserted, time }
                }
            };
            self.note(&entry)?;
            self.pieces += 1;
            if last {
                return Ok(());
            }
        }
    }

    /// Puts one line in place of a record of several lines, without a newline. The record has an
    /// entry of its own, or one with others.
    fn join(&mut self, edit: &Edit, apart: bool) -> Result<(), RepairError> {
        let before = self.repaired.length();
        let mut joiner = Joiner::default();
        if !apart {
            let removed = self.read_short(edit.removed.clone())?;
            self.put_joined(&mut joiner, &removed)?;
            let inserted = self.repaired.length() - before;
            let with_newline = inserted + u64::from(edit.newline);
            self.edits.push_replaced(self.lines, with_newline, &removed);
            return if self.edits.steps().len() >= STEPS { self.note_edits() } else { Ok(()) };
        }
        self.note_edits()?;
        let mut range = edit.removed.clone();
        loop {
            let front = self.window.front(self.original, range.clone());
            let bytes = front.map_err(RepairError::Read)?.to_vec();
            self.read.put(&bytes).map_err(RepairError::Read)?;
            self.put_joined(&mut joiner, &bytes)?;
            let offset = range.start;
            range.start += bytes.len() as u64;
            let inserted = self.repaired.length() - before;
            let last = range.is_empty();
            self.pieces += 1;
            self.note(&Entry::Piece {
                repair: self.id,
                offset,
                length: bytes.len() as u64,
                reason: DamageKind::SplitRecord.name().to_owned(),
                bytes: encode(&bytes),
                inserted: String::new(),
                inserted_length: last.then_some(inserted + u64::from(edit.newline)),
                time: self.time.clone(),
            })?;
            if last {
                return Ok(());
            }
        }
    }

    fn put_joined(&mut self, joiner: &mut Joiner, bytes: &[u8]) -> Result<(), RepairError> {
        self.repaired.put(&joiner.join(bytes)).map_err(RepairError::WriteRepaired)
    }

    /// Keeps an edit for an entry of many.
    fn take_out_short(&mut self, edit: &Edit) -> Result<(), RepairError> {
        let removed = self.read_short(edit.removed.clone())?;
        let spot = match (edit.newline, self.in_line) {
            (true, _) => Spot::Newline,
            (false, true) => Spot::End,
            (false, false) => Spot::Here,
        };
        self.edits.push(self.lines, spot, &removed);
        if self.edits.steps().len() >= STEPS { self.note_edits() } else { Ok(()) }
    }

    /// Reads the bytes of a short edit, which is to be written with others.
    fn read_short(&mut self, mut range: Range<u64>) -> Result<Vec<u8>, RepairError> {
        if self.edits.is_empty() {
            // What was kept before belongs to no step.
            self.edits = Edits::at(self.read.length());
            self.lines = 0;
        }
        let mut removed = Vec::new();
        while !range.is_empty() {
            let front = self.window.front(self.original, range.clone());
            let bytes = front.map_err(RepairError::Read)?;
            self.read.put(bytes).map_err(RepairError::Read)?;
            removed.extend_from_slice(bytes);
            range.start += bytes.len() as u64;
        }
        Ok(removed)
    }

    /// Writes the short edits.
    fn note_edits(&mut self) -> Result<(), RepairError> {
        let edits = std::mem::take(&mut self.edits);
        if edits.is_empty() {
            return Ok(());
        }
        self.pieces += 1;
        self.note(&Entry::Pieces {
            repair: self.id,
            offset: edits.offset(),
            count: edits.count(),
            steps: encode(edits.steps()),
        })
    }

    fn note(&mut self, entry: &Entry) -> Result<(), RepairError> {
        write_entry(&mut self.quarantine, entry).map_err(RepairError::WriteQuarantine)
    }
}

#[cfg(test)]
mod tests;
