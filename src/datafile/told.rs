//! What another process has seen of a session file, as far as it can be written down.

use std::fmt;
use std::io;
use std::str::FromStr;

use super::view::View;
use super::{Ending, Section};
use crate::error::SessionChange;

/// A [`View`] that was written down. Nobody may have the file open any more, so that it is told by
/// its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToldView {
    /// `-` if there is no file.
    file: String,
    end: u64,
    ending: Ending,
}

impl ToldView {
    /// Writes down what was seen. `None` if that is not possible.
    pub(crate) fn of(view: Option<&View>) -> Option<Self> {
        let Some(view) = view else {
            return Some(Self { file: "-".to_owned(), end: 0, ending: Ending::of(&[]) });
        };
        let (length, sum) = view.ending().unwrap_or(Ending::of(&[])).parts();
        let ending = Ending::from_parts(length, sum);
        Some(Self { file: view.trace()?.to_string(), end: view.end(), ending })
    }

    /// Whether nothing was seen, so that nothing that was seen can be lost.
    pub(crate) fn is_nothing(&self) -> bool {
        self.end == 0
    }

    /// Whether somebody has changed what was seen of the section's file.
    pub(crate) fn change(&self, section: &Section) -> io::Result<Option<SessionChange>> {
        if self.is_nothing() {
            return Ok(None);
        }
        let trace = section.pinned().trace().map(|trace| trace.to_string());
        if trace.as_ref() != Some(&self.file) {
            return Ok(Some(SessionChange::Replaced));
        }
        if section.len() < self.end {
            return Ok(Some(SessionChange::Shortened));
        }
        let is_there = self.ending.is_of(section.file(), self.end)?;
        Ok((!is_there).then_some(SessionChange::Overwritten))
    }
}

impl fmt::Display for ToldView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, sum) = self.ending.parts();
        write!(f, "{} {} {length} {sum:x}", self.file, self.end)
    }
}

impl FromStr for ToldView {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split(' ').collect();
        let &[file, end, length, sum] = &parts[..] else { return Err(()) };
        let length = length.parse().map_err(drop)?;
        let ending = Ending::from_parts(length, u32::from_str_radix(sum, 16).map_err(drop)?);
        Ok(Self { file: file.to_owned(), end: end.parse().map_err(drop)?, ending })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::datafile::SOON;
    use crate::place::Place;

    #[test]
    fn what_is_written_down_is_read_back_and_tells_changes() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        let section = || Section::lock_within(SOON, &place, true).unwrap().unwrap();
        fs::write(place.session(), "1\n2\n3\n").unwrap();
        let told = ToldView::of(Some(&View::of(&mut section(), None))).unwrap();
        assert_eq!(told.to_string().parse(), Ok(told.clone()));
        let after = |text: &str| {
            fs::write(place.session(), text).unwrap();
            told.change(&section()).unwrap()
        };
        assert_eq!(after("1\n2\n3\n"), None);
        assert_eq!(after("1\n2\n3\n4\n"), None);
        assert_eq!(after("1\n2\n"), Some(SessionChange::Shortened));
        assert_eq!(after("1\n2\n4\n5\n"), Some(SessionChange::Overwritten));
        fs::remove_file(place.session()).unwrap();
        assert_eq!(after("1\n2\n3\n"), Some(SessionChange::Replaced));
        let nothing = ToldView::of(None).unwrap();
        assert_eq!(nothing.to_string().parse(), Ok(nothing.clone()));
        assert_eq!(nothing.change(&section()).unwrap(), None);
        for bad in ["", "-", "- 0 0", "- x 0 0", "- 0 0 0 0"] {
            assert_eq!(bad.parse::<ToldView>(), Err(()), "{bad}");
        }
    }
}
