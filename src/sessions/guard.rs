//! A lock for a file of any name, such as settings or credentials beside the sessions.

use std::future::{Future, IntoFuture};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use super::{Acquire, Sessions};
use crate::error::{Error, LostCause, Result};
use crate::place::GUARD_SUFFIX;
use crate::session::Turn;

impl Sessions {
    /// A lock for a file of any name, for programs that agree to take it before they change the
    /// file. It has all that a turn has: waiters in order, a holder that is named, death that frees
    /// it, loss that is told.
    ///
    /// It is the turn of a session of its own beside the file, `<file>.guard.jsonl`, which is there
    /// while somebody holds or waits. The file itself is neither opened nor created, and need not
    /// exist. Nothing keeps a holder that has lost the guard from writing: ask
    /// [`Guard::lost`] before the change, and make the change a rename.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> turnlock::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let path = dir.path().join("settings.json");
    /// let guard = turnlock::Sessions::new().guard(&path).label("settings").await?;
    /// # std::fs::write(&path, "{}").expect("written");
    /// // Change the file.
    /// guard.release().await?;
    /// # Ok(()) }
    /// ```
    pub fn guard(&self, path: impl AsRef<Path>) -> AcquireGuard {
        let path = path.as_ref().to_owned();
        let session = match path.file_name() {
            // A directory is the same one with and without a slash at the end.
            Some(name) => {
                let mut name = name.to_owned();
                name.push(GUARD_SUFFIX);
                path.with_file_name(name)
            }
            // It is refused with the message for sessions.
            None => path.clone(),
        };
        AcquireGuard { acquire: self.turn(session), path }
    }
}

/// A guard that is to be acquired; see [`Sessions::guard`].
#[derive(Debug)]
#[must_use = "nothing happens before it is acquired"]
pub struct AcquireGuard {
    acquire: Acquire,
    path: PathBuf,
}

impl AcquireGuard {
    /// What the holder is doing; see [`Acquire::label`].
    pub fn label(self, label: impl AsRef<str>) -> Self {
        Self { acquire: self.acquire.label(label), ..self }
    }

    /// How long this acquire may wait; see [`Acquire::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { acquire: self.acquire.timeout(timeout), ..self }
    }

    /// Waits without limit.
    pub fn no_timeout(self) -> Self {
        Self { acquire: self.acquire.no_timeout(), ..self }
    }

    /// Waits for the guard: first come, first served. **Cancel safety** and **Blocking** are those
    /// of [`Acquire::acquire`].
    ///
    /// # Errors
    /// Those of [`Acquire::acquire`].
    pub async fn acquire(self) -> Result<Guard> {
        Ok(Guard { turn: self.acquire.acquire().await?, path: self.path })
    }

    /// [`acquire`](Self::acquire) for threads that may block.
    ///
    /// # Errors
    /// Those of [`Acquire::acquire`].
    pub fn acquire_blocking(self) -> Result<Guard> {
        Ok(Guard { turn: self.acquire.acquire_blocking()?, path: self.path })
    }

    /// Takes the guard if nobody has to be waited for.
    ///
    /// # Errors
    /// [`Error::Timeout`] if somebody holds it; otherwise those of [`Acquire::acquire`].
    pub fn try_acquire(self) -> Result<Guard> {
        Ok(Guard { turn: self.acquire.try_acquire()?, path: self.path })
    }
}

impl IntoFuture for AcquireGuard {
    type Output = Result<Guard>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Guard>> + Send>>;

    /// [`acquire`](AcquireGuard::acquire), so that `.await` is enough.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.acquire())
    }
}

/// The exclusive hold of a file of any name; see [`Sessions::guard`].
#[derive(Debug)]
#[must_use = "a guard that is dropped is released at once"]
pub struct Guard {
    turn: Turn,
    path: PathBuf,
}

impl Guard {
    /// The file that is guarded, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The identity of this hold, by which others can revoke it from the session
    /// `<file>.guard.jsonl`.
    #[must_use]
    pub fn owner(&self) -> uuid::Uuid {
        self.turn.owner()
    }

    /// Whether the guard has been lost; see [`Turn::lost`].
    ///
    /// # Errors
    /// Those of [`Turn::lost`].
    pub fn lost(&self) -> Result<Option<LostCause>> {
        self.turn.lost()
    }

    /// Waits until the guard is lost or released; see [`Turn::until_lost`].
    pub fn until_lost(&self) -> impl Future<Output = Error> + Send + use<> {
        self.turn.until_lost()
    }

    /// Releases the guard; see [`Turn::release`].
    ///
    /// # Errors
    /// Those of [`Turn::release`].
    pub async fn release(self) -> Result<()> {
        self.turn.release().await
    }

    /// [`release`](Self::release) for threads that may block.
    ///
    /// # Errors
    /// Those of [`Turn::release`].
    pub fn release_blocking(self) -> Result<()> {
        self.turn.release_blocking()
    }
}
