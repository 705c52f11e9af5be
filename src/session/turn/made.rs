//! Appends of lines that are made from what the session ends with, under the data lock.

use std::sync::Arc;

use serde::Serialize;

use super::{Inner, Turn};
use crate::datafile::{Appended, Make, NotMade, Section, Tail, make_one, make_several};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::mode::{Mode, now_or_never};
use crate::session::data_lock::in_section;

impl Turn {
    /// Appends a line that `make` makes from the last records of the session: a cursor, an ordinal,
    /// the identity of a parent. Nobody of this protocol writes between the look and the line.
    ///
    /// ```
    /// use serde_json::{Value, json};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let session = turnlock::Sessions::new().session(dir.path().join("4f2c.jsonl"))?;
    /// let turn = session.turn().await?;
    /// for text in ["one", "two"] {
    ///     turn.append_with(move |tail| {
    ///         let last: Option<Value> = tail.last()?;
    ///         let n = last.map_or(0, |last| last["n"].as_u64().unwrap_or(0) + 1);
    ///         Ok(json!({"n": n, "text": text}))
    ///     })
    ///     .await?;
    /// }
    /// # let lines: Vec<Value> = turn.read()?.records().collect::<Result<_, _>>()?;
    /// assert_eq!(lines[1], json!({"n": 1, "text": "two"}));
    /// # turn.release().await
    /// # }
    /// ```
    ///
    /// `make` is called once, with the data lock held, so that all other appends to the session
    /// wait for it: it is to be quick, and to use the session by nothing but what it is given. If
    /// it fails or panics, nothing is written, and the turn goes on.
    ///
    /// **Cancel safety** and **Blocking** are those of [`append_all`](Self::append_all). `make`
    /// runs on the thread that does the file work.
    ///
    /// # Errors
    /// - [`Error::NotMade`] with the error of `make`; if that is an [`Error`], that itself
    /// - otherwise those of [`append_all`](Self::append_all)
    pub async fn append_with<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        self.append_made(Mode::Async, make_one(make)).await
    }

    /// [`append_with`](Self::append_with) with several lines: all of them, or nothing.
    ///
    /// # Errors
    /// Those of [`append_with`](Self::append_with).
    pub async fn append_all_with<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<Vec<T>, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        self.append_made(Mode::Async, make_several(make)).await
    }

    /// [`append_with`](Self::append_with) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_with`](Self::append_with).
    pub fn append_with_blocking<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        now_or_never(self.append_made(Mode::Blocking, make_one(make)))
    }

    /// [`append_all_with`](Self::append_all_with) for threads that may block.
    ///
    /// # Errors
    /// Those of [`append_with`](Self::append_with).
    pub fn append_all_with_blocking<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<Vec<T>, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        now_or_never(self.append_made(Mode::Blocking, make_several(make)))
    }

    pub(crate) async fn append_made(&self, mode: Mode, make: Make) -> Result<Appended> {
        let inner = Arc::clone(&self.inner);
        let (slot, limit) = (inner.slot.clone(), inner.rules.wait_limit());
        let mut make = Some(make);
        in_section(slot, mode, limit, true, move |granted| inner.append_made(granted, &mut make))
            .await
    }
}

impl Inner {
    /// One append of lines that are made first. `None` if the data lock is busy.
    fn append_made(
        &self,
        granted: Option<Section>,
        make: &mut Option<Make>,
    ) -> Result<Option<Appended>> {
        let Some(section) = self.enter_to_append(granted)? else { return Ok(None) };
        // The operation ends with this, and so does not come here twice.
        let make = make.take().ok_or_else(|| self.closed())?;
        // Without the mutex: it is code of others, and may ask this turn for something.
        let made = make(&Tail::of(&section));
        let mut open = self.open.lock();
        let open = open.as_mut().ok_or_else(|| self.closed())?;
        match made {
            Ok(batch) => self.append_in(open, section, &batch).map(Some),
            Err(error) => {
                open.session = section.unlock();
                Err(error)
            }
        }
    }

    fn enter_to_append(&self, granted: Option<Section>) -> Result<Option<Section>> {
        let mut open = self.open.lock();
        let open = open.as_mut().ok_or_else(|| self.closed())?;
        let Some(section) = self.begin_append(open, granted)? else { return Ok(None) };
        match self.fence(open) {
            Ok(()) => Ok(Some(section)),
            Err(error) => {
                open.session = section.unlock();
                Err(error)
            }
        }
    }
}
