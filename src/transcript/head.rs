//! The beginning of a session file: its format, and whether it has the header that this format
//! wants.
//!
//! The programs that own these files skip what is damaged. So the first record counts, wherever it
//! begins, and not the first line.

use std::io;
use std::ops::Range;

use super::damage::Damage;
use super::scan::Line;
use super::source::{ReadAt, read_some};
use crate::compat::format::{Format, Rebuilt, Remains};

/// So many records are looked at for the format. A file of which none of these tells is of a format
/// that is not known.
const TELLING: u64 = 16;
/// So much of each of them is remembered, as long as the header is not found.
const REMEMBERED: usize = 8 * 1024;
/// So many damaged lines before the first record may be a part of the header.
const FRAGMENTS: usize = 8;
/// The longest part of a header that is looked at.
const MAX_FRAGMENT: u64 = 256 * 1024;

/// Follows the items of a file from its beginning on.
#[derive(Debug, Default)]
pub(crate) struct Head {
    records: u64,
    /// What a repair takes out before the first record.
    fragments: Vec<Range<u64>>,
    /// The first records, or the beginning of each.
    first: Vec<Vec<u8>>,
    format: Option<Format>,
    header: Option<Header>,
}

/// The first record that is a header.
#[derive(Clone, Debug)]
struct Header {
    format: Format,
    /// Its position among the records, from 0 on.
    position: u64,
    range: Range<u64>,
    line: Option<u64>,
}

/// What is wrong with the header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) format: Format,
    /// Where a header is that is not the first record.
    pub(crate) misplaced: Option<Misplaced>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misplaced {
    pub(crate) range: Range<u64>,
    pub(crate) line: Option<u64>,
}

impl Head {
    /// Takes a damaged line. Its saved records follow as lines.
    pub(crate) fn follow_damage(&mut self, damage: &Damage) {
        if self.records == 0 && self.fragments.len() < FRAGMENTS {
            let end = damage.saved.first().map_or(damage.range.end, |record| record.start);
            self.fragments.extend((damage.range.start < end).then_some(damage.range.start..end));
        }
    }

    /// Takes the next record.
    pub(crate) fn follow(&mut self, line: &Line<'_>) {
        let position = self.records;
        self.records += 1;
        if self.is_settled() {
            return;
        }
        let Some(bytes) = line.bytes.as_deref() else { return };
        let told = Format::of_record(bytes);
        if let Some(format) = told.filter(|format| format.is_header(bytes))
            && self.format.is_none_or(|known| known == format)
        {
            let (range, line) = (line.range.clone(), line.number);
            self.header = Some(Header { format, position, range, line });
        }
        self.format = self.format.or(told);
        if self.header.is_some() && position == 0 {
            self.fragments = Vec::new();
        } else if position < TELLING {
            self.first.push(bytes[..bytes.len().min(REMEMBERED)].to_vec());
        }
    }

    /// Whether no other record can change the verdict.
    fn is_settled(&self) -> bool {
        self.header.is_some()
            || self.format.is_some_and(|format| !format.wants_header())
            || (self.format.is_none() && self.records > TELLING)
    }

    /// What is wrong with the header. `None` if nothing is, or if the format is not known.
    ///
    /// # Errors
    ///
    /// The errors of reading what may be a part of it.
    pub(crate) fn lack(&self, source: &impl ReadAt) -> io::Result<Option<Lack>> {
        if let Some(Header { format, position, range, line }) = &self.header {
            let misplaced = Misplaced { range: range.clone(), line: *line };
            let lack = Lack { format: *format, misplaced: Some(misplaced) };
            return Ok((*position > 0).then_some(lack));
        }
        let format = match self.format {
            Some(format) => Some(format),
            None if self.records > TELLING => None,
            None => self.fragment(None, source)?.0,
        };
        let format = format.filter(|format| format.wants_header());
        Ok(format.map(|format| Lack { format, misplaced: None }))
    }

    /// A header made of what is left. `name` is that of the file, without its extension, and `now`
    /// the time now.
    ///
    /// # Errors
    ///
    /// The errors of reading. The other error is what it would have to be made of.
    pub(crate) fn rebuild(
        &self,
        format: Format,
        source: &impl ReadAt,
        name: &str,
        now: &str,
    ) -> io::Result<Result<Rebuilt, &'static str>> {
        let (_, fragment) = self.fragment(Some(format), source)?;
        Ok(format.rebuild(&Remains { fragment: &fragment, records: &self.first, name, now }))
    }

    /// What may be a part of the header, and the format that it tells. If the format is known, a
    /// part that does not tell it may do as well.
    fn fragment(
        &self,
        known: Option<Format>,
        source: &impl ReadAt,
    ) -> io::Result<(Option<Format>, Vec<u8>)> {
        let mut first = Vec::new();
        for range in &self.fragments {
            let fragment = read_front(source, range)?;
            let told = Format::of_fragment(&fragment);
            if told.is_some() && known.is_none_or(|known| told == Some(known)) {
                return Ok((told, fragment));
            }
            if first.is_empty() {
                first = fragment;
            }
        }
        Ok((None, first))
    }
}

fn read_front(source: &impl ReadAt, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start).min(MAX_FRAGMENT) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match read_some(source, &mut bytes[filled..], range.start + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
