//! Bytes that a repair takes out, as parts: runs of NUL, which are noted by their length alone, and
//! what is between them.

use std::io;
use std::ops::Range;

use super::runs::nul_run;
use super::source::{ReadAt, Window};

/// The shortest run of NUL bytes that is noted by its length.
const RUN: usize = 1024;

/// Holes begin at multiples of this, on most filesystems.
const BLOCK: u64 = 4096;

/// The part at the front of a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Bytes(&'a [u8]),
    /// So many NUL bytes, in a hole of the file or written.
    Nuls {
        count: u64,
        hole: bool,
    },
}

impl Part<'_> {
    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Nuls { count, .. } => *count,
        }
    }
}

/// The part at the front of `range`, which may be continued by the next one.
pub(super) fn front<'a>(
    source: &impl ReadAt,
    window: &'a mut Window,
    range: Range<u64>,
) -> io::Result<Part<'a>> {
    let run = nul_run(window.front(source, range.clone())?);
    if run >= RUN {
        let hole = source.hole_at(range.start).min(range.end - range.start);
        let count = if hole > 0 { hole } else { written(source, window, range)? };
        return Ok(Part::Nuls { count, hole: hole > 0 });
    }
    let bytes = window.front(source, range)?;
    let next = memchr::memmem::find(&bytes[run..], &[0; RUN]);
    Ok(Part::Bytes(&bytes[..next.map_or(bytes.len(), |next| run + next)]))
}

/// The number of NUL bytes at the front of `range`, up to a hole if there is one.
fn written(source: &impl ReadAt, window: &mut Window, mut range: Range<u64>) -> io::Result<u64> {
    let start = range.start;
    // A file is often written up to somewhere in a block, and goes on with a hole behind that.
    let mut piece = start.next_multiple_of(BLOCK).min(range.end).max(start + 1);
    while !range.is_empty() {
        let bytes = window.front(source, range.start..piece)?;
        let (run, length) = (nul_run(bytes), bytes.len());
        range.start += run as u64;
        if run < length || source.hole_at(range.start) > 0 {
            break;
        }
        if range.start == piece {
            piece = range.end;
        }
    }
    Ok(range.start - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_parts_of_their_own_wherever_windows_end() {
        let bytes =
            [&[0; 10][..], b"ab", &[0; RUN - 1], b"c", &[0; 3 * RUN], b"d", &[0; RUN]].concat();
        for size in [RUN, RUN + 1, 5000, 1 << 20] {
            let (mut window, mut at, mut parts) = (Window::new(size), 0, Vec::new());
            let source = &bytes[..];
            while at < bytes.len() as u64 {
                match front(&source, &mut window, at..bytes.len() as u64).unwrap() {
                    Part::Bytes(some) => {
                        at += some.len() as u64;
                        parts.push((some.to_vec(), 0));
                    }
                    Part::Nuls { count, hole } => {
                        assert!(!hole);
                        at += count;
                        parts.push((Vec::new(), count));
                    }
                }
            }
            let whole: Vec<_> = parts
                .iter()
                .flat_map(|(some, nuls)| [&some[..], &vec![0; *nuls as usize]].concat())
                .collect();
            assert!(whole == bytes);
            assert!(parts.iter().any(|(_, nuls)| *nuls > 0), "{size}");
        }
    }
}
