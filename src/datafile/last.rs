//! What a session ends with, for a line that is made from that.

use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::read::Transcript;
use super::{Batch, Section};
use crate::error::{Error, Result};
use crate::transcript::scan::Item;

/// Why a line could not be made, as the program says.
pub(crate) type NotMade = Box<dyn std::error::Error + Send + Sync>;

/// Makes lines from what the session ends with.
pub(crate) type Make = Box<dyn FnOnce(&Tail<'_>) -> Result<Batch> + Send>;

/// The end of a session behind which lines are about to be appended. Nobody of this protocol
/// writes to the session meanwhile. See [`Turn::append_with`](crate::Turn::append_with).
#[derive(Debug)]
pub struct Tail<'a> {
    section: &'a Section,
    transcript: OnceLock<Transcript>,
}

impl<'a> Tail<'a> {
    pub(crate) fn of(section: &'a Section) -> Self {
        Self { section, transcript: OnceLock::new() }
    }

    /// How long the session is, in bytes. The new lines come behind that, and behind a newline if
    /// its last line is torn.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.section.len()
    }

    /// The last record, as a `T`. Damage behind it is passed over. `None` if there is no record.
    ///
    /// **Blocking**: reads the end of the file.
    ///
    /// # Errors
    /// - [`Error::Record`] if it is not a `T`, or is longer than 64 MiB
    /// - [`Error::Io`] if the file cannot be read
    pub fn last<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        Ok(self.records(1)?.pop())
    }

    /// The last `n` records in order, each as a `T`; fewer if there are fewer. Damage is passed
    /// over.
    ///
    /// **Blocking**: reads the end of the file.
    ///
    /// # Errors
    /// Those of [`last`](Self::last).
    pub fn records<T: DeserializeOwned>(&self, n: usize) -> Result<Vec<T>> {
        let items = Transcript::of_section(self.section).tail(n)?.into_iter();
        let records = items.filter(|item| matches!(item, Item::Line(_)));
        records.map(|item| Transcript::record(item).map_err(Error::from)).collect()
    }

    /// The session file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.section.place().session()
    }

    /// The session so far. It may be read from the beginning, while everybody waits.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        // With a descriptor of its own: a position in it may outlive the turn, and the turn's claim
        // on the file goes with the turn's descriptor (I17).
        self.transcript.get_or_init(|| {
            let own = Transcript::open_at(self.section.place()).ok();
            let is_same = |own: &Transcript| self.section.pinned().is_also(own.file());
            own.filter(|own| is_same(own).unwrap_or(false))
                .map(|own| own.until(self.end()))
                .unwrap_or_else(|| Transcript::of_section(self.section))
        })
    }
}

/// Makes one line.
pub(crate) fn make_one<T: Serialize>(
    make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
) -> Make {
    make_several(move |tail| make(tail).map(|line| vec![line]))
}

/// Makes several lines.
pub(crate) fn make_several<T: Serialize>(
    make: impl FnOnce(&Tail<'_>) -> Result<Vec<T>, NotMade> + Send + 'static,
) -> Make {
    Box::new(move |tail| match make(tail) {
        Ok(lines) => Batch::of(lines),
        Err(reason) => Err(not_made(reason, tail.path())),
    })
}

/// What becomes of a reason why no line was made.
fn not_made(reason: NotMade, session: &Path) -> Error {
    match reason.downcast::<Error>() {
        Ok(error) => *error,
        Err(source) => Error::NotMade { session: session.to_owned(), source },
    }
}
