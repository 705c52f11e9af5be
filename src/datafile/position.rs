//! A place in a session file up to which somebody has read, and what was there.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crc32fast::Hasher;

use super::View;
use crate::error::{Context, Error, Result, SessionChange};
use crate::sys::{self, Pinned};

/// How many bytes are read at a time.
const CHUNK: u64 = 256 * 1024;

/// A place between two lines of a session file, up to which somebody has read. See
/// [`Transcript::position`](crate::Transcript::position) and
/// [`Turn::rewrite_from`](crate::Turn::rewrite_from).
///
/// It keeps the file open, so that no other file is taken for it.
#[derive(Debug, Clone)]
pub struct Position {
    view: View,
    /// The sum of all that lies before it. `None` if that could not be read.
    sum: Option<u32>,
    path: Arc<Path>,
}

impl Position {
    pub(super) fn at(file: Arc<Pinned>, end: u64, path: &Path) -> Self {
        let sum = sum_of(file.file(), end).ok();
        Self { view: View::up_to(file, end), sum, path: path.into() }
    }

    /// Somewhere in a file that cannot be read.
    pub(super) fn unreadable(file: Arc<Pinned>, path: &Path) -> Self {
        Self { view: View::up_to(file, 0), sum: None, path: path.into() }
    }

    /// Its offset in the file, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.view.end()
    }

    /// Whether what lies before it has been changed since, as far as the file itself tells.
    pub(crate) fn change(&self) -> Result<Option<SessionChange>> {
        let end = self.view.end();
        let sum = self.sum.ok_or_else(|| {
            let source = io::Error::other("it could not be read when its position was noted");
            Error::Io { action: "compare", path: self.path.to_path_buf(), source }
        })?;
        match sum_of(self.view.file(), end) {
            Ok(now) => Ok((now != sum).then_some(SessionChange::Overwritten)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Some(SessionChange::Shortened))
            }
            Err(e) => Err(e).context("read", &self.path),
        }
    }

    pub(crate) fn into_view(self) -> View {
        self.view
    }
}

/// The sum of the first `end` bytes.
fn sum_of(file: &File, end: u64) -> io::Result<u32> {
    let mut sum = Hasher::new();
    let mut chunk = vec![0; CHUNK.min(end) as usize];
    let mut at = 0;
    while at < end {
        let part = &mut chunk[..CHUNK.min(end - at) as usize];
        sys::read_exact_at(file, part, at)?;
        sum.update(part);
        at += part.len() as u64;
    }
    Ok(sum.finalize())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_change_anywhere_before_it_is_told_and_none_behind_it() {
        let mut file = tempfile::tempfile().unwrap();
        let text = "{\"n\":1}\n".repeat(100_000);
        file.write_all(text.as_bytes()).unwrap();
        let pinned = || Arc::new(Pinned::new(file.try_clone().unwrap()).unwrap().0);
        let end = text.len() as u64 - 8;
        let position = Position::at(pinned(), end, "s.jsonl".as_ref());
        assert_eq!((position.offset(), position.change().unwrap()), (end, None));
        sys::write_all_at(&file, b"{\"n\":2}\n{}", end).unwrap();
        assert_eq!(position.change().unwrap(), None);
        for at in [5, end / 2 / 8 * 8 + 5, end - 3] {
            sys::write_all_at(&file, b"3", at).unwrap();
            assert_eq!(position.change().unwrap(), Some(SessionChange::Overwritten));
            sys::write_all_at(&file, b"1", at).unwrap();
            assert_eq!(position.change().unwrap(), None);
        }
        file.set_len(end - 1).unwrap();
        assert_eq!(position.change().unwrap(), Some(SessionChange::Shortened));
    }
}
