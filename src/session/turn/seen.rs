//! How much of the session file a holder has seen.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::datafile::{Appended, Batch, Section, View};
use crate::error::{Result, SessionChange};
use crate::place::Place;
use crate::sys::{self, Pinned};

/// What a holder has seen: what was in the file when its turn began, what it has read, and what it
/// has appended.
pub(super) struct Seen {
    /// What was seen of which file, except for `unread`. `None` once the holder has read that there
    /// is no file.
    view: Option<View>,
    /// Posts before the end of the view that the holder was told of but has not read.
    unread: Vec<Range<u64>>,
    /// Whether the file holds lines at unknown places that the holder has not read: a repair has
    /// moved them. The holder has to read it before it can rewrite it.
    read_first: bool,
    /// How many bytes before the end of the view the holder was not even told of.
    untold: u64,
}

impl Seen {
    /// All that is in the file now. `before` is what the last turn of this process has seen.
    pub(super) fn of(section: &mut Section, before: Option<&Self>) -> Self {
        let before = before.and_then(|seen| seen.view.as_ref());
        Self::all_of(View::of(section, before))
    }

    /// Nothing: there is no file.
    pub(super) fn nothing() -> Self {
        Self { view: None, unread: Vec::new(), read_first: false, untold: 0 }
    }

    fn all_of(view: View) -> Self {
        Self { view: Some(view), ..Self::nothing() }
    }

    pub(super) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    pub(super) fn end(&self) -> u64 {
        self.view.as_ref().map_or(0, View::end)
    }

    /// Whether nothing was seen, so that nothing that was seen can be lost.
    pub(super) fn is_nothing(&self) -> bool {
        self.end() == 0
    }

    pub(super) fn is_of(&self, file: &Pinned) -> bool {
        self.view.as_ref().is_some_and(|view| view.is_of(file))
    }

    /// How far `file` can be read while somebody writes to it. `None` if that is not known.
    pub(super) fn readable_end(&self, file: &File) -> io::Result<Option<u64>> {
        let Some(view) = self.view.as_ref().filter(|_| !self.read_first) else { return Ok(None) };
        let is_known = view.is_also(file)? && sys::stat(file)?.len >= view.end();
        Ok(is_known.then_some(view.end()))
    }

    /// Whether the holder has to read the file before it can rewrite it.
    pub(super) fn must_read_first(&self) -> bool {
        self.read_first
    }

    /// What was seen so far, except for the parts before its end that the holder has not read.
    pub(super) fn parts(&self) -> (Option<View>, Vec<Range<u64>>) {
        (self.view.clone(), self.unread.clone())
    }

    /// Whether somebody has changed what was seen.
    pub(super) fn change(
        &self,
        section: &Section,
        thoroughly: bool,
    ) -> io::Result<Option<SessionChange>> {
        match &self.view {
            Some(view) => view.change(section, thoroughly),
            None => Ok(None),
        }
    }

    /// The same by the path alone, without the data lock.
    pub(super) fn change_at(&self, place: &Place) -> Result<Option<SessionChange>> {
        match &self.view {
            Some(view) => view.change_at(place),
            None => Ok(None),
        }
    }

    /// Nothing was seen of a file, and another one is there now, of which nothing was seen either.
    pub(super) fn start_over(&mut self, file: &Arc<Pinned>) {
        *self = Self::all_of(View::up_to(Arc::clone(file), 0));
    }

    /// The holder has appended. Returns how many bytes of others it is to be told of.
    pub(super) fn appended(
        &mut self,
        section: &Section,
        batch: &Batch,
        appended: &Appended,
    ) -> u64 {
        let (intervening, end) = (appended.intervening, section.len());
        if intervening > 0 {
            self.unread.push(self.end()..self.end() + intervening);
        }
        let view = self.view.get_or_insert_with(|| View::up_to(Arc::clone(section.pinned()), 0));
        *view = view.and(intervening, batch.written(appended.sealed), end);
        intervening + std::mem::take(&mut self.untold)
    }

    /// The holder reads `file`, which has whole lines up to `whole`. Returns how far it reads, as a
    /// torn tail from before the turn was seen as well, and whether it accepts a change.
    pub(super) fn read(&mut self, file: Arc<Pinned>, whole: u64) -> (u64, bool) {
        let is_there = |view: &&View| view.is_of(&file) && view.is_there().unwrap_or(false);
        let seen = self.view.as_ref().filter(is_there).map(View::end);
        let end = seen.map_or(whole, |seen| whole.max(seen));
        *self = Self::all_of(View::up_to(file, end));
        (end, seen.is_none())
    }

    /// The holder has rewritten the file. What is behind `content` was carried over unread.
    pub(super) fn rewritten(&mut self, section: &mut Section, content: u64) {
        let view = View::of(section, None);
        self.unread.clear();
        self.read_first = false;
        if view.end() > content {
            self.unread.push(content..view.end());
        }
        self.view = Some(view);
    }

    /// A repair has moved the lines. The holder had neither seen nor been told of `untold` bytes.
    pub(super) fn moved(&mut self, section: &mut Section, untold: u64) {
        self.untold += untold;
        self.read_first |= untold > 0 || !self.unread.is_empty();
        self.unread.clear();
        self.view = Some(View::of(section, None));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::datafile::SOON;
    use crate::rules::Durability;

    struct Session {
        _dir: tempfile::TempDir,
        place: Place,
    }

    impl Session {
        fn of(text: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
            fs::write(place.session(), text).unwrap();
            fs::write(place.lock(), "{}").unwrap();
            Self { _dir: dir, place }
        }

        fn section(&self) -> Section {
            Section::lock_within(SOON, &self.place, true).unwrap().unwrap()
        }

        fn append(&self, seen: &mut Seen, text: &str) -> u64 {
            let lock = Pinned::new(File::open(self.place.lock()).unwrap()).unwrap().0;
            let (mut section, batch) = (self.section(), Batch::of([text]).unwrap());
            let writer = section.writer(Durability::Buffered, seen.end(), &lock);
            let Ok(appended) = writer.append(&batch) else { panic!() };
            seen.appended(&section, &batch, &appended)
        }

        fn add(&self, text: &str) {
            let before = fs::read_to_string(self.place.session()).unwrap();
            fs::write(self.place.session(), before + text).unwrap();
        }
    }

    #[test]
    fn a_post_is_told_of_and_carried_over_until_it_is_read() {
        let session = Session::of("\"turn\"\n");
        let mut seen = Seen::of(&mut session.section(), None);
        session.add("\"post\"\n");
        assert_eq!(session.append(&mut seen, "own"), 7);
        assert!(seen.unread.iter().eq([&(7..14)]) && seen.end() == 20);
        let file = Arc::clone(session.section().pinned());
        assert_eq!(seen.read(file, 20), (20, false));
        assert!(seen.unread.is_empty() && seen.end() == 20);
    }

    #[test]
    fn a_torn_tail_from_before_the_turn_counts_as_read_while_it_is_there() {
        let session = Session::of("{}\n{\"torn");
        let mut section = session.section();
        let file = Arc::clone(section.pinned());
        assert_eq!(Seen::of(&mut section, None).read(Arc::clone(&file), 3), (9, false));
        let mut seen = Seen::of(&mut section, None);
        fs::write(session.place.session(), "{}\n").unwrap();
        assert_eq!(seen.read(file, 3), (3, true));
    }

    #[test]
    fn what_was_seen_and_is_there_no_more_is_a_change() {
        let session = Session::of("1\n2\n");
        let mut seen = Seen::of(&mut session.section(), None);
        session.append(&mut seen, "own");
        let change = || seen.change(&session.section(), false).unwrap();
        session.add("\"post\"\n");
        assert_eq!(change(), None);
        fs::write(session.place.session(), "1\n2\n").unwrap();
        assert_eq!(change(), Some(SessionChange::Shortened));
        session.add("\"other\"\n");
        assert_eq!(change(), Some(SessionChange::Overwritten));
        fs::remove_file(session.place.session()).unwrap();
        assert_eq!(change(), Some(SessionChange::Replaced));
    }

    #[test]
    fn whoever_has_seen_nothing_misses_nothing() {
        let session = Session::of("");
        let seen = Seen::of(&mut session.section(), None);
        fs::remove_file(session.place.session()).unwrap();
        assert_eq!(seen.change(&session.section(), true).unwrap(), None);
        assert_eq!(Seen::nothing().change(&session.section(), true).unwrap(), None);
    }
}
