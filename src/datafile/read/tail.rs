//! The last records of a session file, read from its end.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use super::{BLOCK, ReadError, Transcript};
use crate::transcript::json::is_space;
use crate::transcript::scan::Item;
use crate::transcript::source::read_exact;

/// How many damaged lines [`Transcript::tail`] reads past, give or take a step of looking back.
const MAX_DAMAGE: usize = 10_000;
/// A file that is always shorter than it says is broken.
const MAX_ATTEMPTS: u32 = 10_000;

impl Transcript {
    /// The last `n` records, in order, and the damage that follows the first of them. Everything,
    /// if there are fewer records.
    ///
    /// Reads from the end, as far as needed, but not past more than about 10,000 damaged lines. It
    /// may then return fewer records.
    ///
    /// Blocks while that part is read, and keeps it in memory. Lines have no numbers.
    /// Begins anew if the file becomes shorter meanwhile, as when a failed append is taken back.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn tail(&self, n: usize) -> Result<Vec<Item<'static>>, ReadError> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let mut attempts = 0;
        loop {
            match self.tail_to(self.end_now()?, n) {
                // It may have grown again by now, so that its length tells nothing.
                Err(ReadError::Read { source, .. })
                    if source.kind() == io::ErrorKind::UnexpectedEof && attempts < MAX_ATTEMPTS =>
                {
                    attempts += 1;
                }
                tail => return tail,
            }
        }
    }

    fn end_now(&self) -> Result<u64, ReadError> {
        let len = self.file().metadata().map_err(|e| self.error(e))?.len();
        Ok(self.end.map_or(len, |end| end.min(len)))
    }

    fn tail_to(&self, end: u64, n: usize) -> Result<Vec<Item<'static>>, ReadError> {
        let mut lines = n;
        loop {
            let start = self.start_of_last(lines, end).map_err(|e| self.error(e))?;
            let tail = self.last_records(n, start..end)?;
            let records = tail.iter().filter(|item| is_record(item)).count();
            debug_assert!(records <= n);
            if records == n || start == self.start || tail.len() - records > MAX_DAMAGE {
                return Ok(tail);
            }
            // There are lines without records among them: look further back, in growing steps.
            lines = lines.saturating_mul(2).saturating_add(n - records);
        }
    }

    /// The items of `part` from its `n`th record from the end on; all of them if it has
    /// fewer records.
    fn last_records(&self, n: usize, part: Range<u64>) -> Result<Vec<Item<'static>>, ReadError> {
        let mut tail = VecDeque::new();
        let mut records = 0;
        for item in self.lines_of(part) {
            let item = item?;
            records += usize::from(is_record(&item));
            tail.push_back(item);
            while records >= n && !tail.front().is_none_or(is_record) || records > n {
                records -= usize::from(tail.pop_front().as_ref().is_some_and(is_record));
            }
        }
        Ok(tail.into())
    }

    /// The offset at which the last `lines` lines that are not blank begin.
    fn start_of_last(&self, lines: usize, end: u64) -> io::Result<u64> {
        let mut block = vec![0; BLOCK.min(end) as usize];
        let (mut at, mut inked, mut seen) = (end, false, 0);
        while at > self.start {
            let size = BLOCK.min(at - self.start) as usize;
            at -= size as u64;
            read_exact(self.file(), &mut block[..size], at)?;
            let mut rest = &block[..size];
            while let Some(newline) = memchr::memrchr(b'\n', rest) {
                inked |= has_ink(&rest[newline + 1..]);
                seen += usize::from(inked);
                if seen == lines {
                    return Ok(at + newline as u64 + 1);
                }
                inked = false;
                rest = &rest[..newline];
            }
            inked |= has_ink(rest);
        }
        Ok(self.start)
    }
}

fn is_record(item: &Item<'_>) -> bool {
    matches!(item, Item::Line(_))
}

fn has_ink(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| !is_space(*byte))
}
