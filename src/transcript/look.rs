//! A look at a whole session file: what is damaged, whether its header is there, and what can be
//! done about it without making things worse.

use std::io;
use std::ops::Range;

use super::contents::{self, Contents};
use super::damage::{Damage, DamageKind};
use super::head::{Head, Misplaced};
use super::json::{Validator, is_space};
use super::lines::Lines;
use super::parts::{self, Part};
use super::repair::Survey;
use super::scan::{Item, Line};
use super::source::{ReadAt, Window, read_exact};
use super::split::Joiner;
use crate::compat::format::Format;

/// Longer lines are checked for damage, but nothing else. So a header is no longer than this.
pub(crate) const MAX_LINE: usize = 4 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;

/// What was seen of a file.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) survey: Survey,
    head: Head,
    losses: Losses,
}

/// What a repair keeps and takes out, in bytes. NULs and whitespace are not counted.
#[derive(Debug, Default)]
struct Losses {
    kept: u64,
    /// Records that were cut.
    torn: u64,
    /// Everything else.
    other: u64,
}

/// What can be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    #[default]
    Healthy,
    /// A repair makes it healthy, with this header if it lacks one.
    Mend(Option<NewHeader>),
    /// A repair would make things worse.
    Refused(Objection),
}

/// A header to be put first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewHeader {
    /// The line, without a newline.
    pub(crate) line: String,
    /// Where its parts are from that are not from the header that was lost.
    pub(crate) invented: Vec<String>,
    /// Where it stands now. `None` if it is a new one.
    pub(crate) moved: Option<Range<u64>>,
}

/// Why a repair would make things worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// Little or nothing would remain.
    NotUnderstood(Contents),
    /// It would have no header, and the header cannot be made of what is left.
    NoHeader(&'static str),
}

/// What is wrong with the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderTrouble {
    pub(crate) format: Format,
    /// The line of a header that is not the first record, if known.
    pub(crate) misplaced: Option<Option<u64>>,
}

impl Look {
    /// Reads the first `length` bytes of a file.
    ///
    /// # Errors
    ///
    /// The errors of reading.
    pub(crate) fn at(source: &impl ReadAt, length: u64) -> io::Result<Self> {
        let mut look = Self::default();
        let mut saved_ahead = 0;
        for item in Lines::new(source, 0..length, MAX_LINE) {
            match item? {
                Item::Line(line) if saved_ahead > 0 => {
                    saved_ahead -= 1;
                    look.saved(&line);
                }
                Item::Line(line) => look.whole(&line),
                Item::Damage(damage) => {
                    saved_ahead = damage.saved.len();
                    look.damaged(&damage, source)?;
                }
            }
        }
        Ok(look)
    }

    /// Takes a whole line.
    pub(crate) fn whole(&mut self, line: &Line<'_>) {
        self.survey.lines += 1;
        self.losses.kept += line.range.end - line.range.start;
        self.head.follow(line);
    }

    /// Takes a damaged line. Its saved records follow.
    ///
    /// # Errors
    ///
    /// The errors of reading.
    pub(crate) fn damaged(&mut self, damage: &Damage, source: &impl ReadAt) -> io::Result<()> {
        self.survey.count(damage);
        self.head.follow_damage(damage);
        for record in &damage.saved {
            self.losses.kept += record.end - record.start;
        }
        if damage.is_left_alone() {
            self.losses.kept += damage.range.end - damage.range.start;
        }
        use DamageKind::{MissingNewline, NulRun, SplitRecord};
        if !matches!(damage.kind, NulRun | MissingNewline | SplitRecord) {
            damage.removed().try_for_each(|range| self.losses.add(range, source))?;
        }
        Ok(())
    }

    /// Takes a record of a damaged line.
    pub(crate) fn saved(&mut self, line: &Line<'_>) {
        self.head.follow(line);
    }

    /// What is wrong with the header, if anything is.
    ///
    /// # Errors
    ///
    /// The errors of reading.
    pub(crate) fn header_trouble(&self, source: &impl ReadAt) -> io::Result<Option<HeaderTrouble>> {
        Ok(self.head.lack(source)?.map(|lack| HeaderTrouble {
            format: lack.format,
            misplaced: lack.misplaced.map(|misplaced| misplaced.line),
        }))
    }

    /// What can be done about the file. `name` is its name without its extension, and `now` the
    /// time now.
    ///
    /// Blocks while a damaged file is read a second time.
    ///
    /// # Errors
    ///
    /// The errors of reading.
    pub(crate) fn verdict(
        &self,
        source: &impl ReadAt,
        length: u64,
        name: &str,
        now: &str,
    ) -> io::Result<Verdict> {
        if contents::is_array_of_records(source, length)? {
            return Ok(Verdict::Refused(Objection::NotUnderstood(Contents::JsonArray)));
        }
        let lack = self.head.lack(source)?;
        let only_left_alone = self.survey.damages.keys().all(|kind| *kind == DamageKind::TooDeep);
        if only_left_alone && lack.is_none() {
            return Ok(Verdict::Healthy);
        }
        let contents = self.losses.contents(source, length)?;
        if let Some(contents) = contents.filter(|it| *it != Contents::Torn || lack.is_none()) {
            return Ok(Verdict::Refused(Objection::NotUnderstood(contents)));
        }
        let Some(lack) = lack else { return Ok(Verdict::Mend(None)) };
        if let Some(Misplaced { range, .. }) = lack.misplaced {
            return Ok(mend(moved(source, range)?));
        }
        let rebuilt = self.head.rebuild(lack.format, source, name, now)?;
        Ok(match rebuilt {
            Ok(new) => mend(NewHeader { line: new.line, invented: new.invented, moved: None }),
            Err(why) => Verdict::Refused(Objection::NoHeader(why)),
        })
    }
}

fn mend(header: NewHeader) -> Verdict {
    Verdict::Mend(Some(header))
}

/// The header that stands at `range`, to be put first.
fn moved(source: &impl ReadAt, range: Range<u64>) -> io::Result<NewHeader> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    read_exact(source, &mut bytes, range.start)?;
    // It may be over several lines.
    let line = Joiner::default().join(bytes.trim_ascii());
    let line = String::from_utf8_lossy(&line).into_owned();
    Ok(NewHeader { line, invented: Vec::new(), moved: Some(range) })
}

impl Losses {
    /// Counts bytes that a repair takes out.
    fn add(&mut self, mut range: Range<u64>, source: &impl ReadAt) -> io::Result<()> {
        let mut window = Window::new(CHUNK);
        let mut piece = Piece::default();
        while !range.is_empty() {
            match parts::front(source, &mut window, range.clone())? {
                Part::Nuls { count, .. } => {
                    range.start += count;
                    self.end(&mut piece);
                }
                Part::Bytes(bytes) => {
                    range.start += bytes.len() as u64;
                    for (at, between_nuls) in bytes.split(|byte| *byte == 0).enumerate() {
                        if at > 0 {
                            self.end(&mut piece);
                        }
                        piece.take(between_nuls);
                    }
                }
            }
        }
        self.end(&mut piece);
        Ok(())
    }

    fn end(&mut self, piece: &mut Piece) {
        match piece.state {
            Is::Blank => {}
            // A whole one that is taken out is not UTF-8.
            Is::Torn | Is::TornBeforeBlanks if !piece.json.is_whole() => {
                self.torn += piece.length;
            }
            _ => self.other += piece.length,
        }
        (piece.length, piece.state) = (0, Is::Blank);
    }

    /// What the file is, if it is something else.
    fn contents(&self, source: &impl ReadAt, length: u64) -> io::Result<Option<Contents>> {
        let taken_out = self.torn + self.other;
        if self.kept < taken_out
            && let Some(contents) = contents::by_front(source, length)?
        {
            return Ok(Some(contents));
        }
        if self.other > 0
            && let Some(contents) = contents::by_values(source, length)?
        {
            return Ok(Some(contents));
        }
        let nothing_remains = self.kept == 0 && taken_out > 0;
        if nothing_remains && self.other == 0 {
            return Ok(Some(Contents::Torn));
        }
        let is_other = nothing_remains || self.other > self.kept;
        is_other.then(|| contents::by_text(source, length)).transpose()
    }
}

/// Bytes between NULs.
#[derive(Default)]
struct Piece {
    length: u64,
    state: Is,
    json: Validator,
}

/// What the bytes of a piece are so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Is {
    #[default]
    Blank,
    /// The beginning of a record.
    Torn,
    /// The same, and whitespace that is not in it, such as the newline.
    TornBeforeBlanks,
    Other,
}

impl Piece {
    fn take(&mut self, mut bytes: &[u8]) {
        if self.state == Is::Blank {
            bytes = bytes.trim_ascii_start();
            if bytes.first() == Some(&b'{') {
                self.json.reset();
                self.state = Is::Torn;
            } else if !bytes.is_empty() {
                self.state = Is::Other;
            }
        }
        self.length += bytes.len() as u64;
        if self.state == Is::Torn
            && let Err(at) = self.json.feed(bytes)
        {
            self.state = Is::TornBeforeBlanks;
            bytes = &bytes[at..];
        }
        if self.state == Is::TornBeforeBlanks && !bytes.iter().all(|byte| is_space(*byte)) {
            self.state = Is::Other;
        }
    }
}
