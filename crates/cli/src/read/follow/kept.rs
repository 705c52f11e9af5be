//! Which lines of a file the one before it had as well.
//!
//! A rewrite tells where the parts of the new file come from: what was appended since is new, also
//! if it equals a line of the old file, and what was carried over is known by its place. What the
//! rewrite has written itself, and everything in a file of which nothing was told, is compared with
//! the lines of the old file. Each of those is found again once.

use std::sync::atomic::AtomicBool;

use turnlock::{Origin, Part};

use super::super::Stop;
use super::source::Source;

/// So many lines are compared at a time. For each of them there are 16 bytes in memory.
const WINDOW: usize = 1 << 19;

pub(super) struct Kept<'a> {
    old: Source<'a>,
    /// What was shown of the old file.
    at: u64,
    /// `None` if nothing was told.
    parts: Option<Vec<Part>>,
    window: usize,
    /// Digests of the lines that are compared now, in order, and how many of each are left in the
    /// old file.
    left: Vec<(u64, usize)>,
    /// The number of lines to compare, up to the end of the window, and up to the next one.
    to: usize,
    next: usize,
}

impl<'a> Kept<'a> {
    pub(super) fn of(old: Source<'a>, at: u64, parts: Option<Vec<Part>>) -> Self {
        Self { old, at, parts, window: WINDOW, left: Vec::new(), to: 0, next: 0 }
    }

    /// Whether the old file had a line of `new`, which has whole lines up to `end`. Called for each
    /// of them, in order, with its offset and its digest.
    pub(super) fn has(
        &mut self,
        new: &Source<'_>,
        end: u64,
        (offset, digest): (u64, u64),
        interrupted: &AtomicBool,
    ) -> Result<bool, Stop> {
        match origin(self.parts.as_deref(), offset) {
            Origin::Carried { from } => return Ok(from < self.at),
            Origin::Written => {}
            _ => return Ok(false),
        }
        if self.next == self.to {
            self.compare_more(new, end, interrupted)?;
        }
        self.next += 1;
        let left = find(&mut self.left, digest).filter(|left| **left > 0);
        Ok(left.map(|left| *left -= 1).is_some())
    }

    /// Looks for the next lines in the old file.
    fn compare_more(
        &mut self,
        new: &Source<'_>,
        end: u64,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop> {
        let parts = self.parts.as_deref();
        let is_compared = |offset| origin(parts, offset) == Origin::Written;
        let (from, window) = (self.next, self.window);
        let mut left = std::mem::take(&mut self.left);
        left.clear();
        let mut seen = 0;
        new.each_digest(end, interrupted, |offset, digest| {
            seen += usize::from(is_compared(offset));
            if is_compared(offset) && seen > from {
                left.push((digest, 0));
            }
            left.len() < window
        })?;
        self.to = from + left.len();
        left.sort_unstable();
        left.dedup();
        self.old.each_digest(self.at, interrupted, |offset, digest| {
            if !is_carried(parts, offset)
                && let Some(left) = find(&mut left, digest)
            {
                *left += 1;
            }
            true
        })?;
        // What the lines before these have used up.
        let mut before = 0;
        new.each_digest(end, interrupted, |offset, digest| {
            if before < from && is_compared(offset) {
                before += 1;
                if let Some(left) = find(&mut left, digest) {
                    *left = left.saturating_sub(1);
                }
            }
            before < from
        })?;
        self.left = left;
        Ok(())
    }
}

fn find(left: &mut [(u64, usize)], digest: u64) -> Option<&mut usize> {
    let found = left.binary_search_by_key(&digest, |(digest, _)| *digest).ok()?;
    Some(&mut left[found].1)
}

/// Where what is at `offset` of the new file comes from.
fn origin(parts: Option<&[Part]>, offset: u64) -> Origin {
    let Some(parts) = parts else { return Origin::Written };
    let next = parts.partition_point(|part| part.range.end <= offset);
    match parts.get(next) {
        None => Origin::Appended,
        Some(part) if part.range.start > offset => Origin::Written,
        Some(part) => part.origin_at(offset),
    }
}

/// Whether what is at `offset` of the old file was carried over.
fn is_carried(parts: Option<&[Part]>, offset: u64) -> bool {
    parts.unwrap_or_default().iter().any(|part| match part.origin {
        Origin::Carried { from } => {
            offset >= from && offset - from < part.range.end - part.range.start
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use turnlock::Transcript;

    use super::*;

    fn source(lines: &[u32], like: Option<&Source<'static>>) -> Source<'static> {
        let mut file = tempfile::tempfile().unwrap();
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        let path = Path::new("s.jsonl");
        let transcript = Transcript::from_file(file, path).unwrap();
        let source = match like {
            None => Source::of(&transcript, path),
            Some(like) => like.successor(&transcript),
        };
        source.map_err(drop).unwrap()
    }

    /// The lines of the new file that are new.
    fn new_lines(window: usize, old: &[u32], new: &[u32]) -> Vec<u32> {
        let on = AtomicBool::new(false);
        let old = source(old, None);
        let new_file = source(new, Some(&old));
        let at = old.length().map_err(drop).unwrap();
        let end = new_file.length().map_err(drop).unwrap();
        let mut kept = Kept { window, ..Kept::of(old, at, None) };
        let mut lines = Vec::new();
        new_file
            .each_digest(end, &on, |offset, digest| {
                lines.push((offset, digest));
                true
            })
            .map_err(drop)
            .unwrap();
        let has: Vec<_> = lines
            .into_iter()
            .map(|line| kept.has(&new_file, end, line, &on).map_err(drop).unwrap())
            .collect();
        assert!(kept.left.capacity() <= 2 * window.max(4), "{}", kept.left.capacity());
        new.iter().zip(has).filter(|(_, has)| !has).map(|(line, _)| *line).collect()
    }

    #[test]
    fn each_line_of_the_old_file_is_found_once_however_few_are_compared_at_a_time() {
        let old = [1, 2, 2, 3, 3, 3, 4];
        let new = [3, 9, 2, 2, 2, 3, 3, 3, 9, 1, 1, 4];
        for window in 1..=13 {
            assert_eq!(new_lines(window, &old, &new), [9, 2, 3, 9, 1], "{window} at a time");
        }
        assert_eq!(new_lines(2, &[], &[5, 5, 5]), [5, 5, 5]);
        assert_eq!(new_lines(2, &[5, 5], &[]), [0; 0]);
    }
}
