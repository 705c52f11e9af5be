//! The file that is followed, and the digests of its lines.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use turnlock::{Item, Line, Transcript};

use super::super::{LONGEST_IN_MEMORY, Stop, check_interrupt};

/// A line is hashed in pieces of this size.
const PIECE: usize = 64 * 1024;
/// So many bytes of each end stand for what is between them.
const END: u64 = 4096;

pub(super) struct Source<'a> {
    path: &'a Path,
    file: File,
    /// Its key is random, so that nobody can make two lines with one digest.
    hasher: RandomState,
}

impl<'a> Source<'a> {
    pub(super) fn of(transcript: &Transcript, path: &'a Path) -> Result<Self, Stop> {
        let file = transcript.file().try_clone().map_err(|source| failed(path, source))?;
        Ok(Self { path, file, hasher: RandomState::new() })
    }

    /// The file that has taken the place of this one. Equal lines of both have equal digests.
    pub(super) fn successor(&self, new: &Transcript) -> Result<Self, Stop> {
        let hasher = self.hasher.clone();
        Ok(Self { hasher, ..Self::of(new, self.path)? })
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn facts(&self) -> Result<std::fs::Metadata, Stop> {
        self.file.metadata().map_err(|source| self.failed(source))
    }

    pub(super) fn length(&self) -> Result<u64, Stop> {
        self.facts().map(|facts| facts.len())
    }

    pub(super) fn part(&self, range: Range<u64>) -> Result<Transcript, Stop> {
        let file = self.file.try_clone().map_err(|source| self.failed(source))?;
        let transcript = Transcript::from_file(file, self.path)?.max_line(LONGEST_IN_MEMORY);
        Ok(transcript.since(range.start).until(range.end))
    }

    /// Calls `each` with the offset and the digest of every line before `end`, until it returns
    /// `false`.
    pub(super) fn each_digest(
        &self,
        end: u64,
        interrupted: &AtomicBool,
        mut each: impl FnMut(u64, u64) -> bool,
    ) -> Result<(), Stop> {
        for item in self.part(0..end)?.lines() {
            check_interrupt(interrupted)?;
            if let Item::Line(line) = item?
                && !each(line.range.start, self.digest_of(&line)?)
            {
                break;
            }
        }
        Ok(())
    }

    /// The digest by which a line is recognised, of all its bytes.
    pub(super) fn digest_of(&self, line: &Line<'_>) -> Result<u64, Stop> {
        let Some(bytes) = &line.bytes else { return self.digest(&line.range) };
        let mut hash = self.hasher.build_hasher();
        for piece in bytes.chunks(PIECE) {
            hash.write(piece);
        }
        hash.write_u64(bytes.len() as u64);
        Ok(hash.finish())
    }

    /// The same, of the line that is in this place now.
    pub(super) fn digest(&self, line: &Range<u64>) -> Result<u64, Stop> {
        let mut hash = self.hasher.build_hasher();
        let read = self.hash(&mut hash, line)?;
        hash.write_u64(read);
        Ok(hash.finish())
    }

    /// A digest of the two ends of a range. It costs the same for every range.
    pub(super) fn ends(&self, range: &Range<u64>) -> Result<u64, Stop> {
        let mut hash = self.hasher.build_hasher();
        self.hash(&mut hash, &(range.start..range.end.min(range.start + END)))?;
        self.hash(&mut hash, &(range.start.max(range.end.saturating_sub(END))..range.end))?;
        Ok(hash.finish())
    }

    /// Returns how many bytes there were. A file that was cut back meanwhile has fewer, and its
    /// digest matches no known line.
    fn hash(&self, hash: &mut impl Hasher, range: &Range<u64>) -> Result<u64, Stop> {
        let mut at = range.start;
        let mut piece = vec![0; PIECE.min(length_of(range))];
        while at < range.end {
            let size = piece.len().min(length_of(&(at..range.end)));
            match self.file.read_exact_at(&mut piece[..size], at) {
                Ok(()) => hash.write(&piece[..size]),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(self.failed(error)),
            }
            at += size as u64;
        }
        Ok(at - range.start)
    }

    /// Whether a range was never written to, as far as the filesystem tells. It has no newline.
    pub(super) fn is_hole(&self, range: &Range<u64>) -> bool {
        match seek(&self.file, SeekFrom::Data(range.start)) {
            Ok(data) => data >= range.end,
            // There is no data up to the end of the file.
            Err(error) => error == Errno::NXIO,
        }
    }

    pub(super) fn ends_with_newline(&self, line: &Range<u64>) -> Result<bool, Stop> {
        let mut byte = [0];
        let read = self.file.read_at(&mut byte, line.end).map_err(|source| self.failed(source))?;
        Ok(read == 1 && byte == *b"\n")
    }

    pub(super) fn failed(&self, source: io::Error) -> Stop {
        failed(self.path, source)
    }
}

/// Whether a line is too long to be read again in every round.
pub(super) fn is_long(line: &Range<u64>) -> bool {
    length_of(line) > PIECE
}

fn length_of(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

fn failed(path: &Path, source: io::Error) -> Stop {
    Stop::Read(turnlock::Error::Io { action: "read", path: path.to_owned(), source })
}
