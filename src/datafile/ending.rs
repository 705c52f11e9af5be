//! How the seen part of a session file ends, summed up.
//!
//! A file that was cut and has grown again may be longer than what was seen of it. That it holds
//! other bytes shows where the seen ones ended.

use std::fs::File;
use std::io;

use crc32fast::Hasher;

use crate::sys;

/// So many bytes are read, and of one append as many are summed up, if there are as many.
const LENGTH: usize = 1024;
/// The bytes of several appends are summed up together until there are more of them.
const MOST: u64 = 8 * LENGTH as u64;

/// The sum of the last bytes before an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// How many bytes were summed up.
    length: u64,
    sum: u32,
    /// Whether they end with a newline.
    is_whole: bool,
}

impl Ending {
    /// The ending of the first `end` bytes of a file.
    pub(crate) fn read(file: &File, end: u64) -> io::Result<Self> {
        Self::read_last(file, end, LENGTH as u64)
    }

    /// The same, of `length` bytes at most.
    fn read_last(file: &File, end: u64, length: u64) -> io::Result<Self> {
        let length = length.min(end);
        let mut bytes = vec![0; length as usize];
        sys::read_exact_at(file, &mut bytes, end - length)?;
        Ok(Self::of_all(&bytes))
    }

    /// How long a file is, and how it ends. It was `before` bytes long a moment ago; if it still
    /// is, one read tells both.
    pub(crate) fn look(file: &File, before: u64) -> io::Result<(u64, Self)> {
        let start = before.saturating_sub(LENGTH as u64);
        // One byte more than there should be: only at its end, less is read than was asked for.
        let mut bytes = [0; LENGTH + 1];
        let read = sys::read_at(file, &mut bytes, start)?;
        if read as u64 == before - start {
            return Ok((before, Self::of_all(&bytes[..read])));
        }
        let end = sys::stat(file)?.len;
        Ok((end, Self::read(file, end)?))
    }

    /// The ending of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::of_all(&bytes[bytes.len().saturating_sub(LENGTH)..])
    }

    fn of_all(bytes: &[u8]) -> Self {
        let (length, sum) = (bytes.len() as u64, crc32fast::hash(bytes));
        Self { length, sum, is_whole: bytes.last() == Some(&b'\n') }
    }

    /// The ending once `more` was appended.
    pub(crate) fn and(self, more: &[u8]) -> Self {
        let length = self.length + more.len() as u64;
        if length > MOST {
            return Self::of(more);
        }
        let mut sum = Hasher::new_with_initial_len(self.sum, self.length);
        sum.update(more);
        let is_whole = more.last().map_or(self.is_whole, |last| *last == b'\n');
        Self { length, sum: sum.finalize(), is_whole }
    }

    /// Whether the first `end` bytes of a file still end like this.
    pub(crate) fn is_of(self, file: &File, end: u64) -> io::Result<bool> {
        if self.length > end {
            return Ok(false);
        }
        match Self::read_last(file, end, self.length) {
            Ok(there) => Ok(there.sum == self.sum),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Whether a line ends here.
    pub(crate) fn is_whole(self) -> bool {
        self.is_whole
    }

    /// How many bytes were summed up, and their sum.
    pub(super) fn parts(self) -> (u64, u32) {
        (self.length, self.sum)
    }

    /// An ending that was written down.
    pub(super) fn from_parts(length: u64, sum: u32) -> Self {
        Self { length: length.min(MOST), sum, is_whole: false }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_ending_is_that_of_the_file_however_it_came_about() {
        let mut file = tempfile::tempfile().unwrap();
        let (mut text, mut ending) = (Vec::new(), Ending::of(b""));
        for more in [&b"{}\n"[..], b"", &[b'x'; 63], b"y", &[b'z'; 5000], &[b'a'; 4000], b"\n"] {
            file.write_all(more).unwrap();
            text.extend(more);
            ending = ending.and(more);
            let end = text.len() as u64;
            let endings = [ending, Ending::read(&file, end).unwrap(), Ending::of(&text)];
            for ending in endings {
                assert!(ending.is_of(&file, end).unwrap());
                assert_eq!(ending.is_whole(), text.ends_with(b"\n"));
                let (length, sum) = ending.parts();
                assert!(Ending::from_parts(length, sum).is_of(&file, end).unwrap());
                assert!(length == end || length >= 1000 || length >= more.len() as u64);
            }
            assert_eq!(endings[1], endings[2]);
        }
    }

    #[test]
    fn a_look_tells_the_length_whatever_it_was_before() {
        let mut file = tempfile::tempfile().unwrap();
        for more in [&b""[..], b"{}\n", &[b'x'; 1020], b"y", b"z", &[b'a'; 3000]] {
            file.write_all(more).unwrap();
            let end = file.metadata().unwrap().len();
            for before in [0, 1, 2, 3, 1022, 1023, 1024, 1025, 1026, 4025, 4026, 10_000] {
                let look = Ending::look(&file, before).unwrap();
                assert_eq!(look, (end, Ending::read(&file, end).unwrap()));
            }
        }
    }

    #[test]
    fn a_file_that_was_cut_and_has_grown_again_ends_in_another_way() {
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
