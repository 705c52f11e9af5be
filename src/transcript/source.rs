//! Reading at an offset, without a cursor.

use std::fs::File;
use std::io;
use std::ops::Range;

/// Bytes that can be read at any offset.
///
/// A writer may share the descriptor of a session file, so nothing here uses the descriptor's
/// cursor.
pub trait ReadAt {
    /// Reads some bytes at `offset` into `buffer` and returns their number. 0 means the end.
    ///
    /// # Errors
    ///
    /// The errors of the system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Returns the length of the hole at `offset`, which is read as NUL. 0 if none is known there.
    fn hole_at(&self, _offset: u64) -> u64 {
        0
    }
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        crate::sys::read_at(self, buffer, offset)
    }

    fn hole_at(&self, offset: u64) -> u64 {
        crate::sys::hole_at(self, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let length = buffer.len().min(self.len() - start);
        buffer[..length].copy_from_slice(&self[start..start + length]);
        Ok(length)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn hole_at(&self, offset: u64) -> u64 {
        (**self).hole_at(offset)
    }
}

/// A piece of NULs of at least this length may be the beginning of a hole.
const HOLE: usize = 4096;

/// The length of the hole at the front of `rest`, of which `piece` came just before. 0 if there is
/// none. A byte of it would change nothing that the last byte of `piece` did not.
pub(super) fn hole_behind(piece: &[u8], source: &impl ReadAt, rest: Range<u64>) -> u64 {
    match piece.last() {
        Some(0) if piece.len() >= HOLE && !rest.is_empty() => {
            source.hole_at(rest.start).min(rest.end - rest.start)
        }
        _ => 0,
    }
}

/// Reads some bytes. Retries when a signal interrupts the call.
pub(super) fn read_some(source: &impl ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match source.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Fills the buffer. Fails with `UnexpectedEof` if the source ends before.
pub(crate) fn read_exact(
    source: &impl ReadAt,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buffer.is_empty() {
        match read_some(source, buffer, offset)? {
            0 => return Err(shorter()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read")
}

/// A part of a source in memory, of at most `size` bytes.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    start: u64,
    size: usize,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, size: size.max(1) }
    }

    /// Returns some of the bytes at the front of `range`: at least one, unless the range is empty.
    pub(super) fn front(&mut self, source: &impl ReadAt, range: Range<u64>) -> io::Result<&[u8]> {
        if range.is_empty() {
            return Ok(&[]);
        }
        let kept = self.start..self.start + self.bytes.len() as u64;
        if !kept.contains(&range.start) {
            self.load(source, &range)?;
        }
        let from = (range.start - self.start) as usize;
        let wanted = (range.end - range.start).min((self.bytes.len() - from) as u64) as usize;
        Ok(&self.bytes[from..from + wanted])
    }

    fn load(&mut self, source: &impl ReadAt, range: &Range<u64>) -> io::Result<()> {
        let wanted = (range.end - range.start).min(self.size as u64) as usize;
        self.bytes.resize(wanted, 0);
        let result = read_some(source, &mut self.bytes, range.start);
        self.bytes.truncate(*result.as_ref().unwrap_or(&0));
        self.start = range.start;
        match result? {
            0 => Err(shorter()),
            _ => Ok(()),
        }
    }
}

/// Passes the bytes of a range to `each`, a window at a time, until `each` returns false. Of a
/// hole, it passes only the first NULs.
pub(super) fn each_piece(
    source: &impl ReadAt,
    window: &mut Window,
    mut range: Range<u64>,
    mut each: impl FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    while !range.is_empty() {
        let piece = window.front(source, range.clone())?;
        range.start += piece.len() as u64;
        if !each(piece)? {
            break;
        }
        range.start += hole_behind(piece, source, range.clone());
    }
    Ok(())
}
