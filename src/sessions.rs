//! The front of the library: sessions, and how to take a turn on one, post to one, or clean up among them.
mod acquire;
pub mod doctor;
mod post;
pub(crate) mod sweep;
mod under;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::datafile::{Appended, Batch};
use crate::error::{Error, Holder, Result};
use crate::lock::{self, Named};
use crate::metrics;
use crate::mode::{Mode, now_or_never};
use crate::place::Place;
use crate::rules::{Durability, LongHold, Rules};
use crate::session::data_queue::{in_section, section_of};
use crate::session::{self, SlotRef};
use crate::sys::filesystem;
use doctor::Doctor;
use sweep::{DirectoryReport, LockReport};

pub use acquire::Acquire;

/// The rules by which sessions are shared: one for a whole program, cheap to clone.
///
/// Two values in one process share the same queues: a session is one, whoever asks for it.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    rules: Arc<Rules>,
}

/// Sets the rules; see [`Sessions::builder`].
#[derive(Debug, Default)]
#[must_use = "call `build`"]
pub struct SessionsBuilder {
    pub(crate) rules: Rules,
}

impl SessionsBuilder {
    /// How long an acquire, a post or an append may wait: 10 s unless set. Zero means one try.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.rules.acquire_timeout = Some(timeout);
        self
    }

    /// Wait without limit.
    pub fn no_acquire_timeout(mut self) -> Self {
        self.rules.acquire_timeout = None;
        self
    }

    /// A turn held longer than this is reported once: 5 min unless set. It is never taken away for it.
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.rules.max_hold = max_hold;
        self
    }

    /// Called by the keeper thread for each turn held longer than [`max_hold`](Self::max_hold), besides a `tracing` warning.
    ///
    /// It should return soon: the same thread does the late work of all sessions.
    pub fn on_long_hold(mut self, tell: impl Fn(&LongHold) + Send + Sync + 'static) -> Self {
        self.rules.on_long_hold = Some(Arc::new(tell));
        self
    }

    /// How long an empty or half-written lock file of a foreign program is respected after its last change: 30 s unless set.
    pub fn malformed_grace(mut self, grace: Duration) -> Self {
        self.rules.malformed_grace = grace;
        self
    }

    /// From which age on a living foreign owner is reported as too old: 30 min unless set. Never a reason to take its lock.
    pub fn too_old(mut self, age: Duration) -> Self {
        self.rules.too_old = age;
        self
    }

    /// When an append counts as done: [`Durability::Sync`] unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.rules.durability = durability;
        self
    }

    /// The sessions under these rules.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting makes no sense: a `max_hold` or age of zero.
    pub fn build(self) -> Result<Sessions> {
        let zero = "it must be longer than zero";
        if self.rules.max_hold.is_zero() {
            return Err(Error::Config { name: "max_hold", reason: zero });
        }
        if self.rules.too_old.is_zero() {
            return Err(Error::Config { name: "too_old", reason: zero });
        }
        if self.rules.malformed_grace > Duration::from_secs(24 * 60 * 60) {
            return Err(Error::Config {
                name: "malformed_grace",
                reason: "longer than a day, a file left empty by a crash would block its session for as long",
            });
        }
        Ok(Sessions { rules: Arc::new(self.rules) })
    }
}

impl Sessions {
    /// Sessions under the default rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// To set other rules.
    ///
    /// ```
    /// use std::time::Duration;
    /// # fn main() -> turnlock::Result<()> {
    /// let sessions = turnlock::Sessions::builder().acquire_timeout(Duration::from_secs(60)).build()?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> SessionsBuilder {
        SessionsBuilder::default()
    }

    /// A turn on the session at `path` (`<dir>/<id>.jsonl`): to be acquired, once it is described.
    ///
    /// The directory is resolved, and created (0700) if there is none; so is the session file (0600).
    pub fn turn(&self, path: impl AsRef<Path>) -> Acquire {
        Acquire::new(Arc::clone(&self.rules), path.as_ref().to_owned())
    }

    /// Appends one line without holding the turn, also while somebody else does. See [`post_all`](Self::post_all).
    ///
    /// # Errors
    /// Those of [`post_all`](Self::post_all).
    pub async fn post<T: Serialize + ?Sized>(
        &self,
        path: impl AsRef<Path>,
        line: &T,
    ) -> Result<Appended> {
        self.post_lines(Mode::Async, path.as_ref(), Batch::of([line])?, false).await
    }

    /// Appends a batch of lines without holding the turn: all of them, or nothing.
    ///
    /// They go in beside a turn of this protocol, at any time. A foreign owner is waited for. A session that does not exist is
    /// not created, since its name may be mistyped; see [`post_creating`](Self::post_creating).
    ///
    /// **Cancel safety** and **blocking** are those of [`Turn::append_all`](crate::Turn::append_all).
    ///
    /// # Errors
    /// [`Error::NoSession`] if there is no such session; [`Error::Timeout`] if a foreign owner kept it;
    /// the rest as for [`Turn::append_all`](crate::Turn::append_all).
    pub async fn post_all<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let lines = Batch::of(lines)?;
        self.post_lines(Mode::Async, path.as_ref(), lines, false).await
    }

    /// [`post_all`](Self::post_all), into a session that is created if there is none.
    ///
    /// # Errors
    /// Those of [`post_all`](Self::post_all), but for `NoSession`.
    pub async fn post_creating<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let lines = Batch::of(lines)?;
        self.post_lines(Mode::Async, path.as_ref(), lines, true).await
    }

    /// [`post`](Self::post) for threads that may block.
    ///
    /// # Errors
    /// Those of [`post_all`](Self::post_all).
    pub fn post_blocking<T: Serialize + ?Sized>(
        &self,
        path: impl AsRef<Path>,
        line: &T,
    ) -> Result<Appended> {
        now_or_never(self.post_lines(Mode::Blocking, path.as_ref(), Batch::of([line])?, false))
    }

    /// [`post_all`](Self::post_all) for threads that may block; `create` makes the session if there is none.
    ///
    /// # Errors
    /// Those of [`post_all`](Self::post_all).
    pub fn post_all_blocking<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        lines: impl IntoIterator<Item = T>,
        create: bool,
    ) -> Result<Appended> {
        now_or_never(self.post_lines(Mode::Blocking, path.as_ref(), Batch::of(lines)?, create))
    }

    /// Takes the session from the holder that bears this owner, and from no other: its next append fails with
    /// [`Error::LockLost`]. Says whom it was taken from. Blocking, for as long as an append of somebody else takes.
    ///
    /// # Errors
    /// [`Error::NotTheHolder`] if somebody else holds it by now, or nobody; [`Error::ForeignHolder`] for a living program
    /// that knows no fence; [`Error::DataLockBusy`] if the holder is stopped inside an append: only ending that process helps.
    pub fn revoke(&self, path: impl AsRef<Path>, owner: Uuid) -> Result<Holder> {
        self.revoke_named(path.as_ref(), Named::Owner(owner))
    }

    /// [`revoke`](Self::revoke), naming the holder by its process id, which must be of this PID namespace.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke).
    pub fn revoke_pid(&self, path: impl AsRef<Path>, pid: u32) -> Result<Holder> {
        self.revoke_named(path.as_ref(), Named::Pid(pid))
    }

    fn revoke_named(&self, path: &Path, named: Named) -> Result<Holder> {
        let place = Place::resolve(path, false)?;
        let rules = Arc::clone(&self.rules);
        let slot = SlotRef::of(place.clone());
        let named_place = place.clone();
        let revoke = move |granted| {
            let Some(mut data) = section_of(granted, &place, true)? else {
                return Ok(None);
            };
            let revoked =
                lock::revoke(&place, &data, named, session::owner_here(&place).is_some(), &rules);
            data.discard_unused(false, || Ok(()));
            revoked.map(Some)
        };
        let operation = in_section(
            slot,
            Mode::Blocking,
            self.rules.deadline(),
            self.rules.acquire_timeout,
            true,
            revoke,
        );
        let holder = now_or_never(operation)?;
        tracing::warn!(session = %path.display(), ?named, "revoked");
        metrics::revoked(&named_place);
        Ok(holder)
    }

    /// Looks at every `*.jsonl.lock` of a directory, removes the stale ones, keeps and reports the rest. For a start-up.
    ///
    /// One bad entry never stops the rest: what cannot be read is kept, and reported. Blocking; some microseconds a lock.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub fn sweep(&self, dir: impl AsRef<Path>) -> Result<Vec<LockReport>> {
        sweep::sweep(dir.as_ref(), &self.rules)
    }

    /// [`sweep`](Self::sweep) over many directories, in parallel. Every owner process is looked up once, and a system call that does not
    /// come back for 10 s (a dead network mount) is given up and reported.
    pub fn sweep_all(
        &self,
        dirs: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Vec<DirectoryReport> {
        sweep::sweep_many(dirs.into_iter().map(Into::into).collect(), &self.rules)
    }

    /// [`status`](Self::status) over many directories, in the manner of [`sweep_all`](Self::sweep_all). Changes nothing.
    pub fn status_all(
        &self,
        dirs: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Vec<DirectoryReport> {
        sweep::look_at_many(dirs.into_iter().map(Into::into).collect(), &self.rules)
    }

    /// Removes what an interrupted rewrite or repair left behind (`<session>.rewrite-<uuid>.tmp`), unless somebody holds the
    /// session, whose work it may be: then `false`. Blocking, for some microseconds.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_leftover(&self, path: impl AsRef<Path>) -> Result<bool> {
        sweep::leftover::remove(path.as_ref(), &self.rules)
    }

    /// Looks at every `*.jsonl.lock` of a directory, and changes nothing.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub fn status(&self, dir: impl AsRef<Path>) -> Result<Vec<LockReport>> {
        sweep::look_at_all(dir.as_ref(), &self.rules)
    }

    /// The filesystem of a directory in words, such as `ext4 filesystem /dev/vda mounted at /`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn filesystem(dir: impl AsRef<Path>) -> std::io::Result<String> {
        Ok(filesystem::filesystem(dir.as_ref())?.to_string())
    }

    /// Looks at the lock of one session, and changes nothing; `None` if it has no lock file.
    ///
    /// # Errors
    /// If the path cannot be a session's.
    pub fn status_of(&self, path: impl AsRef<Path>) -> Result<Option<LockReport>> {
        let place = Place::resolve(path.as_ref(), false)?;
        Ok(sweep::look(place.lock(), &self.rules))
    }

    /// An examination of sessions: what is wrong with locks and transcripts, and, if asked for, putting it right.
    ///
    /// ```no_run
    /// let examination = turnlock::Sessions::new().doctor().examine(["/home/me/.openclaw"], |_, _| {});
    /// for finding in &examination.findings {
    ///     println!("{}: {}: {} ({})", finding.path.display(), finding.problem.name(), finding.problem, finding.treatment);
    /// }
    /// ```
    pub fn doctor(&self) -> Doctor {
        Doctor::new(self)
    }

    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// How many turns this process holds right now, through whichever `Sessions`.
    #[must_use]
    pub fn held_by_this_process() -> usize {
        session::held_count()
    }
}
