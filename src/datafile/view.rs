//! What somebody has seen of a session file, and whether it is still there.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::{Ending, Section};
use crate::error::{Result, SessionChange};
use crate::place::Place;
use crate::sys::{self, Found, Pinned, Trace};

/// What somebody has seen of a session file: the file, up to where, and how it ended there.
///
/// The file stays open, so that no other file is taken for it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    file: Arc<Pinned>,
    end: u64,
    /// `None` if it could not be read. It is not compared then.
    ending: Option<Ending>,
}

impl View {
    /// All that is in the section's file now. What is known by an earlier view is not read again.
    pub(crate) fn of(section: &mut Section, before: Option<&Self>) -> Self {
        let (file, end) = (Arc::clone(section.pinned()), section.len());
        let known = before.filter(|it| *it.file == *file && it.end == end).and_then(|it| it.ending);
        let ending = section.ending(known).ok();
        Self { file, end, ending }
    }

    /// The first `end` bytes of a file.
    pub(crate) fn up_to(file: Arc<Pinned>, end: u64) -> Self {
        let ending = Ending::read(file.file(), end).ok();
        Self { file, end, ending }
    }

    /// What is seen after an append that ends at `end`. `bytes` were written, behind `intervening`
    /// bytes of others.
    pub(crate) fn and(&self, intervening: u64, bytes: &[u8], end: u64) -> Self {
        let file = Arc::clone(&self.file);
        match self.ending {
            Some(before) if intervening == 0 => Self { file, end, ending: Some(before.and(bytes)) },
            _ if !bytes.is_empty() => Self { file, end, ending: Some(Ending::of(bytes)) },
            _ => Self::up_to(file, end),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    pub(super) fn trace(&self) -> Option<Trace> {
        self.file.trace()
    }

    pub(crate) fn file(&self) -> &File {
        self.file.file()
    }

    pub(crate) fn is_of(&self, file: &Pinned) -> bool {
        *self.file == *file
    }

    /// Whether `file`, which is open as well, is the same file.
    pub(crate) fn is_also(&self, file: &File) -> io::Result<bool> {
        self.file.is_also(file)
    }

    /// Whether somebody has changed what was seen of the section's file. Whoever has seen nothing
    /// can lose nothing. Bytes are compared if the file has grown since, or `thoroughly` in any
    /// case.
    pub(crate) fn change(
        &self,
        section: &Section,
        thoroughly: bool,
    ) -> io::Result<Option<SessionChange>> {
        if self.end == 0 {
            return Ok(None);
        }
        if !self.is_of(section.pinned()) {
            return Ok(Some(SessionChange::Replaced));
        }
        if section.len() < self.end {
            return Ok(Some(SessionChange::Shortened));
        }
        let is_there = section.len() == self.end && !thoroughly || self.is_there()?;
        Ok((!is_there).then_some(SessionChange::Overwritten))
    }

    /// The same without the data lock, as far as the session's path and the length tell.
    pub(crate) fn change_at(&self, place: &Place) -> Result<Option<SessionChange>> {
        if self.end == 0 {
            return Ok(None);
        }
        Ok(match place.compare_session(&self.file)? {
            Found::Nothing => Some(SessionChange::Removed),
            Found::Other => Some(SessionChange::Replaced),
            Found::This(stat) if stat.len < self.end => Some(SessionChange::Shortened),
            Found::This(_) => None,
        })
    }

    /// Whether the file still holds what was seen last.
    pub(crate) fn is_there(&self) -> io::Result<bool> {
        match &self.ending {
            Some(ending) => ending.is_of(self.file(), self.end),
            None => Ok(sys::stat(self.file())?.len >= self.end),
        }
    }
}
