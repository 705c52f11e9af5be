//! One session, found once and used many times.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::Address;
use super::lines::Lines;
use super::{Acquire, Sessions};
use crate::datafile::read::Transcript;
use crate::datafile::{Appended, Batch, NotMade, Tail, make_one};
use crate::error::{Error, ReadError, RecordError, Result};
use crate::mode::{Mode, now_or_never};

/// One session: the way to its turns, posts and lines. See [`Sessions::session`].
///
/// It keeps what was found on the way: the directory stays open, and its path is walked again only
/// if another directory has that path by now. It is cheap to clone, and holds no lock.
///
/// ```
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// # let path = dir.path().join("agents/main/sessions/4f2c.jsonl");
/// let sessions = turnlock::Sessions::new();
/// let session = sessions.session(&path)?;
/// let turn = session.turn().label("reply").await?;
/// turn.append(&json!({"type": "message"})).await?;
/// session.post(&json!({"type": "custom"})).await?;
/// turn.release().await?;
/// assert_eq!(session.read().await?.lines().count(), 2);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    sessions: Sessions,
    address: Arc<Address>,
}

impl Session {
    pub(super) fn at(sessions: &Sessions, path: &Path) -> Result<Self> {
        Ok(Self {
            sessions: sessions.clone(),
            address: Arc::new(Address::kept(path, sessions.rules())?),
        })
    }

    /// The session file. If it was named by a relative path, this is the absolute one.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.address.path()
    }

    /// A turn on this session; see [`Sessions::turn`].
    pub fn turn(&self) -> Acquire {
        Acquire::new(Arc::clone(self.sessions.rules()), Arc::clone(&self.address))
    }

    /// Appends one line without holding the turn; see [`Sessions::post_all`].
    ///
    /// # Errors
    /// Those of [`Sessions::post_all`].
    pub async fn post<T: Serialize + ?Sized>(&self, line: &T) -> Result<Appended> {
        self.post_ready(Mode::Async, Batch::of([line])?, false).await
    }

    /// Appends a batch of lines without holding the turn; see [`Sessions::post_all`].
    ///
    /// # Errors
    /// Those of [`Sessions::post_all`].
    pub async fn post_all<T: Serialize>(
        &self,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let batch = Batch::of(lines)?;
        self.post_ready(Mode::Async, batch, false).await
    }

    /// [`post_all`](Self::post_all) into a session that is created if there is none.
    ///
    /// # Errors
    /// Those of [`Sessions::post_all`], except for `NoSession`.
    pub async fn post_creating<T: Serialize>(
        &self,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let batch = Batch::of(lines)?;
        self.post_ready(Mode::Async, batch, true).await
    }

    /// [`post`](Self::post) for threads that may block.
    ///
    /// # Errors
    /// Those of [`Sessions::post_all`].
    pub fn post_blocking<T: Serialize + ?Sized>(&self, line: &T) -> Result<Appended> {
        now_or_never(self.post_ready(Mode::Blocking, Batch::of([line])?, false))
    }

    /// [`post_all`](Self::post_all) for threads that may block.
    ///
    /// # Errors
    /// Those of [`Sessions::post_all`].
    pub fn post_all_blocking<T: Serialize>(
        &self,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        now_or_never(self.post_ready(Mode::Blocking, Batch::of(lines)?, false))
    }

    /// [`post_creating`](Self::post_creating) for threads that may block.
    ///
    /// # Errors
    /// Those of [`Sessions::post_all`], except for `NoSession`.
    pub fn post_creating_blocking<T: Serialize>(
        &self,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        now_or_never(self.post_ready(Mode::Blocking, Batch::of(lines)?, true))
    }

    /// [`post_all`](Self::post_all) with lines that were serialised before.
    ///
    /// # Errors
    /// Those of [`Sessions::post_all`], except for `BadLine`.
    pub async fn post_batch(&self, batch: &Batch) -> Result<Appended> {
        self.post_ready(Mode::Async, batch.clone(), false).await
    }

    /// [`post_batch`](Self::post_batch) for threads that may block.
    ///
    /// # Errors
    /// Those of [`post_batch`](Self::post_batch).
    pub fn post_batch_blocking(&self, batch: &Batch) -> Result<Appended> {
        now_or_never(self.post_ready(Mode::Blocking, batch.clone(), false))
    }

    async fn post_ready(&self, mode: Mode, batch: Batch, create: bool) -> Result<Appended> {
        self.post_lines(mode, Lines::Ready(batch), create).await
    }

    async fn post_lines(&self, mode: Mode, lines: Lines, create: bool) -> Result<Appended> {
        self.sessions.post_lines(mode, Arc::clone(&self.address), lines, create).await
    }

    /// Posts a line that `make` makes from the last records of the session; see
    /// [`Sessions::post_with`].
    ///
    /// # Errors
    /// Those of [`Sessions::post_with`].
    pub async fn post_with<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        self.post_lines(Mode::Async, Lines::to_make(make_one(make)), false).await
    }

    /// [`post_with`](Self::post_with) into a session that is created if there is none.
    ///
    /// # Errors
    /// Those of [`Sessions::post_with`], except for `NoSession`.
    pub async fn post_creating_with<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        self.post_lines(Mode::Async, Lines::to_make(make_one(make)), true).await
    }

    /// [`post_creating_with`](Self::post_creating_with) for threads that may block.
    ///
    /// # Errors
    /// Those of [`post_creating_with`](Self::post_creating_with).
    pub fn post_creating_with_blocking<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        now_or_never(self.post_lines(Mode::Blocking, Lines::to_make(make_one(make)), true))
    }

    /// [`post_with`](Self::post_with) for threads that may block.
    ///
    /// # Errors
    /// Those of [`Sessions::post_with`].
    pub fn post_with_blocking<T: Serialize>(
        &self,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        now_or_never(self.post_lines(Mode::Blocking, Lines::to_make(make_one(make)), false))
    }

    /// The session's lines as they are now, up to the last one that is whole. Takes no lock.
    ///
    /// A line that is being written right now may yet be taken back. A holder reads with
    /// [`Turn::read`](crate::Turn::read), which covers none of those.
    ///
    /// **Blocking**: file work is done on tokio's blocking pool. Iterating over the transcript
    /// blocks while the file is read.
    ///
    /// # Errors
    /// - [`Error::NoSession`] if there is no such session
    /// - [`Error::Io`] if the file cannot be read
    pub async fn read(&self) -> Result<Transcript> {
        self.read_as(Mode::Async).await
    }

    /// [`read`](Self::read) for threads that may block.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_blocking(&self) -> Result<Transcript> {
        now_or_never(self.read_as(Mode::Blocking))
    }

    /// All records as they are now, each as a `T`, read on tokio's blocking pool. What is damaged,
    /// or not a `T`, is an error in its place.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn records<T: DeserializeOwned + Send + 'static>(
        &self,
    ) -> Result<Vec<Result<T, RecordError>>> {
        let transcript = self.read().await?;
        Mode::Async.run(move || transcript.records().collect()).await
    }

    async fn read_as(&self, mode: Mode) -> Result<Transcript> {
        let address = Arc::clone(&self.address);
        let read = move || {
            let place = address.find_existing()?;
            Transcript::open_at(&place).and_then(Transcript::bounded).map_err(|error| match error {
                ReadError::Open { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    Error::NoSession { path: address.path().to_owned() }
                }
                error => error.into(),
            })
        };
        mode.run(read).await?
    }
}
