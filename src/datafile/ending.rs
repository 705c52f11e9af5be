//! The last bytes of what somebody has seen of a session file.
//!
//! A file that was cut and has grown again may be longer than what was seen. That it holds other
//! bytes shows where the seen ones ended: two records of a session are hardly the same.

use std::fs::File;
use std::io;

use crate::sys;

/// So many bytes are kept, if there are as many.
const LENGTH: usize = 64;

/// The last bytes before an offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    bytes: [u8; LENGTH],
    length: usize,
}

impl Ending {
    /// The ending of the first `end` bytes of a file.
    pub(crate) fn read(file: &File, end: u64) -> io::Result<Self> {
        Self::read_last(file, end, usize::try_from(end).unwrap_or(LENGTH))
    }

    /// The last bytes of the first `end` bytes of a file, `length` of them at most.
    pub(crate) fn read_last(file: &File, end: u64, length: usize) -> io::Result<Self> {
        let mut ending = Self::of(&[]);
        ending.length = length.min(LENGTH);
        let bytes = &mut ending.bytes[..ending.length];
        sys::read_exact_at(file, bytes, end.saturating_sub(bytes.len() as u64))?;
        Ok(ending)
    }

    /// The ending of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let last = &bytes[bytes.len().saturating_sub(LENGTH)..];
        let mut ending = Self { bytes: [0; LENGTH], length: last.len() };
        ending.bytes[..last.len()].copy_from_slice(last);
        ending
    }

    /// The ending once `more` was appended.
    pub(crate) fn and(&self, more: &[u8]) -> Self {
        if more.len() >= LENGTH {
            return Self::of(more);
        }
        Self::of(&[self.bytes(), more].concat())
    }

    /// Whether the first `end` bytes of a file still end like this.
    pub(crate) fn is_of(&self, file: &File, end: u64) -> io::Result<bool> {
        let Some(start) = end.checked_sub(self.length as u64) else { return Ok(false) };
        let mut there = [0; LENGTH];
        let there = &mut there[..self.length];
        match sys::read_exact_at(file, there, start) {
            Ok(()) => Ok(there == self.bytes()),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Whether a line ends here.
    pub(crate) fn is_whole(&self) -> bool {
        self.bytes().last() == Some(&b'\n')
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_ending_is_the_same_however_it_came_about() {
        let mut file = tempfile::tempfile().unwrap();
        let (mut text, mut ending) = (Vec::new(), Ending::of(b""));
        for more in [&b"{}\n"[..], b"", &[b'x'; 63], b"y", &[b'z'; 64], &[b'a'; 100], b"\n"] {
            file.write_all(more).unwrap();
            text.extend(more);
            ending = ending.and(more);
            let end = text.len() as u64;
            assert_eq!(ending.bytes(), Ending::read(&file, end).unwrap().bytes());
            assert_eq!(ending.bytes(), Ending::of(&text).bytes());
            assert!(ending.is_of(&file, end).unwrap());
            assert_eq!(ending.is_whole(), text.ends_with(b"\n"));
        }
    }

    #[test]
    fn a_file_that_was_cut_and_has_grown_again_ends_elsewhere_in_another_way() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"{\"n\":1}\n{\"n\":2}\n").unwrap();
        let seen = Ending::read(&file, 16).unwrap();
        file.set_len(8).unwrap();
        assert!(!seen.is_of(&file, 16).unwrap());
        sys::write_all_at(&file, b"{\"n\":3}\n{\"n\":4}\n", 8).unwrap();
        assert!(!seen.is_of(&file, 16).unwrap());
        sys::write_all_at(&file, b"{\"n\":2}\n", 8).unwrap();
        assert!(seen.is_of(&file, 16).unwrap());
    }
}
