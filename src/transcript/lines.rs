//! An iterator over the lines of a source and the damage between them.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use super::damage::Damage;
use super::scan::{Item, Line, Scanner};
use super::source::{ReadAt, read_exact};

/// The lines and the damage of a source, in order. Each damage is followed by the whole records
/// that it saves, as lines. The iterator ends after the first error.
pub(crate) struct Lines<S> {
    source: S,
    max_line: usize,
    /// `None` after an error.
    scanner: Option<Scanner<S>>,
    /// The records that the last damage saves and that were not returned yet.
    saved: VecDeque<Range<u64>>,
    /// The last damage.
    damage: Option<Damage>,
}

impl<S: ReadAt + Copy> Lines<S> {
    /// The lines of the byte range `part`. Lines longer than `max_line` bytes come without their
    /// bytes.
    pub(crate) fn new(source: S, part: Range<u64>, max_line: usize) -> Self {
        let scanner = Scanner::new(source).part(part).max_line(max_line);
        Self { source, max_line, scanner: Some(scanner), saved: VecDeque::new(), damage: None }
    }

    fn read(&mut self) -> io::Result<Option<Item<'static>>> {
        if let Some(range) = self.saved.pop_front() {
            return self.saved_line(range).map(Some);
        }
        let Some(scanner) = &mut self.scanner else { return Ok(None) };
        Ok(match scanner.next_item()? {
            Some(Item::Damage(damage)) => {
                self.saved = damage.saved.iter().cloned().collect();
                self.damage = Some(damage.clone());
                Some(Item::Damage(damage))
            }
            Some(Item::Line(line)) => Some(Item::Line(line.into_owned())),
            None => None,
        })
    }

    fn saved_line(&self, range: Range<u64>) -> io::Result<Item<'static>> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = if length <= self.max_line {
            let mut bytes = vec![0; length];
            read_exact(&self.source, &mut bytes, range.start)?;
            let damage = self.damage.as_ref();
            let bytes = match damage {
                Some(damage) => damage.line_of(bytes),
                None => bytes,
            };
            Some(bytes.into())
        } else {
            None
        };
        Ok(Item::Line(Line {
            range,
            number: self.damage.as_ref().and_then(|damage| damage.line),
            bytes,
        }))
    }
}

impl<S: ReadAt + Copy> Iterator for Lines<S> {
    type Item = io::Result<Item<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.scanner = None;
            self.saved.clear();
        }
        read.transpose()
    }
}
