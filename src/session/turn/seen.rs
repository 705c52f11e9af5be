//! How much of the session file a holder has seen.

use std::iter::once;
use std::ops::Range;

use crate::datafile::Section;
use crate::sys::FileId;

/// What a holder has seen: what was in the file when its turn began, what it has read, and what it
/// has appended.
pub(super) struct Seen {
    /// Which file the offsets are of.
    file: Option<FileId>,
    /// Up to here the holder has seen the file, except for `unread`.
    end: u64,
    /// Posts before `end` that the holder was told of but has not read.
    unread: Vec<Range<u64>>,
    /// Whether the file holds lines at unknown places that the holder has not read: another file
    /// was put in place. The holder has to read it before it can rewrite it.
    read_first: bool,
    /// How many bytes before `end` the holder was not even told of.
    untold: u64,
}

impl Seen {
    /// All that is in the file now.
    pub(super) fn of(section: &Section) -> Self {
        Self {
            file: section.id(),
            end: section.len(),
            unread: Vec::new(),
            read_first: false,
            untold: 0,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn is_of(&self, file: Option<FileId>) -> bool {
        self.file == file
    }

    /// How far `file` can be read while somebody writes to it. `None` if that is not known.
    pub(super) fn readable_end(&self, file: Option<FileId>) -> Option<u64> {
        (self.is_of(file) && !self.read_first).then_some(self.end)
    }

    /// Whether the holder has to read the file before it can rewrite it.
    pub(super) fn must_read_first(&self) -> bool {
        self.read_first
    }

    /// What a rewrite of a file of `len` bytes carries over, in order.
    pub(super) fn unseen(&self, len: u64) -> impl Iterator<Item = Range<u64>> {
        self.unread.iter().cloned().chain(once(self.end..len))
    }

    /// Another program has put `file` in place: nothing of it was seen yet.
    pub(super) fn start_over(&mut self, file: Option<FileId>) {
        *self = Self { file, end: 0, unread: Vec::new(), read_first: true, untold: 0 };
    }

    /// The holder has appended, behind `intervening` bytes of posts. The file ends at `end` now.
    /// Returns how many bytes the holder is to be told of.
    pub(super) fn appended(&mut self, intervening: u64, end: u64) -> u64 {
        if intervening > 0 {
            self.unread.push(self.end..self.end + intervening);
        }
        self.end = end;
        intervening + std::mem::take(&mut self.untold)
    }

    /// The holder reads `file`, which has whole lines up to `end`. Returns how far it reads: a torn
    /// tail from before the turn was seen as well.
    pub(super) fn read(&mut self, file: Option<FileId>, end: u64) -> u64 {
        let end = if self.is_of(file) { end.max(self.end) } else { end };
        *self = Self { file, end, unread: Vec::new(), read_first: false, untold: 0 };
        end
    }

    /// The holder has rewritten the file. What is behind `content` was carried over unread.
    pub(super) fn rewritten(&mut self, section: &Section, content: u64) {
        (self.file, self.end) = (section.id(), section.len());
        self.unread.clear();
        if self.end > content {
            self.unread.push(content..self.end);
        }
    }

    /// A repair has moved the lines. The holder had neither seen nor been told of `untold` bytes.
    pub(super) fn moved(&mut self, section: &Section, untold: u64) {
        self.untold += untold;
        self.read_first |= untold > 0 || !self.unread.is_empty();
        (self.file, self.end) = (section.id(), section.len());
        self.unread.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(end: u64) -> Seen {
        Seen { file: None, end, unread: Vec::new(), read_first: false, untold: 0 }
    }

    #[test]
    fn a_post_is_told_of_and_carried_over_until_it_is_read() {
        let mut seen = seen(10);
        assert_eq!(seen.appended(5, 20), 5);
        assert!(seen.unseen(22).eq([10..15, 20..22]));
        assert_eq!(seen.read(None, 22), 22);
        assert!(seen.unseen(22).all(|unseen| unseen.is_empty()));
    }

    #[test]
    fn a_torn_tail_from_before_the_turn_counts_as_read() {
        assert_eq!(seen(10).read(None, 8), 10);
    }

    #[test]
    fn a_file_that_another_program_put_in_place_has_to_be_read_first() {
        let mut seen = seen(10);
        seen.start_over(None);
        assert!(seen.must_read_first());
        assert_eq!(seen.readable_end(None), None);
        seen.read(None, 3);
        assert!(!seen.must_read_first());
        assert_eq!(seen.readable_end(None), Some(3));
    }
}
