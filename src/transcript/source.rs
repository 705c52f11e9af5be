//! Bytes that can be read at any place, without a cursor that somebody else could move.

use std::fs::File;
use std::io;
use std::ops::Range;

/// Something that can be read at an offset.
///
/// The descriptor of a session file may be shared with an appender, so nothing here uses its cursor.
pub trait ReadAt {
    /// Reads some bytes at `offset`; 0 means that there are none.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        crate::sys::read_at(self, buffer, offset)
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
}

/// Reads some bytes, and again when a signal came between.
pub(super) fn read_some(source: &impl ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match source.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Fills the buffer.
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

/// A stretch of a source, kept in memory: `size` bytes at most.
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

    /// Some of the bytes at the front of `range`: at least one, unless it is empty.
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

/// Hands the bytes of a range to `each`, a window at a time, until it says false.
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
    }
    Ok(())
}
