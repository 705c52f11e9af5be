//! The last lines that were shown, by which a file that was cut or overwritten is recognised.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use super::super::Stop;
use super::source::{Source, is_long};

/// This many lines are recognised after the file was cut back.
const REMEMBERED: usize = 4096;
/// A long line is read again for at most this part of the time.
const SHARE: u32 = 20;

#[derive(Default)]
pub(super) struct Remembered {
    /// Their places and digests.
    lines: VecDeque<(Range<u64>, u64)>,
    /// The ends of the last line, if it is a long one.
    ends: Option<u64>,
    /// Length and time of change of the file when the last line was looked at.
    looked: Option<(u64, i64, i64)>,
    /// Whether the file was changed since all of a long last line was compared.
    doubted: bool,
    /// When all of it may be compared again.
    next: Option<Instant>,
}

impl Remembered {
    pub(super) fn add(&mut self, source: &Source<'_>, line: Range<u64>) -> Result<(), Stop> {
        let digest = source.digest(&line)?;
        self.add_known(source, line, digest)
    }

    pub(super) fn add_known(
        &mut self,
        source: &Source<'_>,
        line: Range<u64>,
        digest: u64,
    ) -> Result<(), Stop> {
        if self.lines.len() == REMEMBERED {
            self.lines.pop_front();
        }
        self.ends = is_long(&line).then(|| source.ends(&line)).transpose()?;
        self.lines.push_back((line, digest));
        Ok(())
    }

    /// The digests of the lines, in order.
    pub(super) fn digests(&self) -> impl Iterator<Item = u64> {
        self.lines.iter().map(|(_, digest)| *digest)
    }

    /// Where the first of them begins.
    pub(super) fn start(&self) -> u64 {
        self.lines.front().map_or(0, |(line, _)| line.start)
    }

    /// The end of the last of them, with its newline.
    pub(super) fn end(&self) -> u64 {
        self.lines.back().map_or(0, |(line, _)| line.end + 1)
    }

    /// Forgets the lines at the end that are no longer in their places. Returns whether all are.
    pub(super) fn forget_what_is_gone(&mut self, source: &Source<'_>) -> Result<bool, Stop> {
        let facts = source.facts()?;
        let now = (facts.len(), facts.mtime(), facts.mtime_nsec());
        let changed = self.looked.replace(now) != Some(now);
        if self.is_taken_to_be_there(source, changed)? {
            return Ok(true);
        }
        let before = self.lines.len();
        let began = Instant::now();
        while let Some((line, digest)) = self.lines.back() {
            if source.ends_with_newline(line)? && source.digest(line)? == *digest {
                break;
            }
            self.lines.pop_back();
        }
        self.doubted = false;
        self.next = Some(began + began.elapsed() * SHARE);
        if self.lines.len() == before {
            return Ok(true);
        }
        let last = self.lines.back().map(|(line, _)| line).filter(|line| is_long(line));
        self.ends = last.map(|line| source.ends(line)).transpose()?;
        Ok(false)
    }

    /// Whether the last line need not be read again. Of a long one, only the ends are looked at
    /// when the file was changed, and all of it from time to time.
    fn is_taken_to_be_there(&mut self, source: &Source<'_>, changed: bool) -> Result<bool, Stop> {
        let Some((line, _)) = self.lines.back() else { return Ok(true) };
        let Some(ends) = self.ends else { return Ok(false) };
        self.doubted |= changed;
        if changed && !(source.ends_with_newline(line)? && source.ends(line)? == ends) {
            return Ok(false);
        }
        Ok(!self.doubted || self.next.is_some_and(|next| Instant::now() < next))
    }
}
