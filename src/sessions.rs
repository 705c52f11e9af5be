//! The front of the library: sessions, and how to take a turn on one, post to one, or clean up among them.

mod acquire;
pub(crate) mod data;
mod post;
mod under;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use crate::caller::{Caller, at_once};
use crate::doctor::Doctor;
use crate::error::{Error, Holder, Result};
use crate::lockfile::{self, Named, probe};
use crate::metrics;
use crate::place::Place;
use crate::registry::{Hold, SlotRef};
use crate::sweep::{self, DirectoryReport, LockReport};
use crate::transcript::{Appended, DataLock, Durability, Lines, Locking, SessionFile};
pub use acquire::Acquire;

/// The rules by which sessions are shared: one for a whole program, cheap to clone.
///
/// Two values in one process share the same queues: a session is one, whoever asks for it.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    rules: Arc<Rules>,
}

/// What was set in the builder.
pub(crate) struct Rules {
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) max_hold: Duration,
    pub(crate) malformed_grace: Duration,
    pub(crate) too_old: Duration,
    pub(crate) durability: Durability,
    pub(crate) on_long_hold: Option<Arc<LongHoldFn>>,
    /// Use only what every Unix has.
    pub(crate) portable: bool,
    /// Take every filesystem for one that hosts share.
    pub(crate) shared: bool,
}

type LongHoldFn = dyn Fn(&LongHold) + Send + Sync;

impl Default for Rules {
    fn default() -> Self {
        Self {
            acquire_timeout: Some(Duration::from_secs(10)),
            max_hold: Duration::from_secs(5 * 60),
            malformed_grace: Duration::from_secs(30),
            too_old: Duration::from_secs(30 * 60),
            durability: Durability::default(),
            on_long_hold: None,
            portable: false,
            shared: false,
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("acquire_timeout", &self.acquire_timeout)
            .field("max_hold", &self.max_hold)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Rules {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        deadline_after(self.acquire_timeout)
    }

    /// Whether marks can be used on this device.
    pub(crate) fn marks(&self, dev: u64) -> bool {
        !self.portable && !self.shared && probe::marks_usable(dev)
    }

    /// Whether other hosts may share this device.
    pub(crate) fn remote(&self, dev: u64) -> bool {
        self.shared || probe::is_remote(dev)
    }
}

/// No limit, or one that no clock reaches: no deadline.
pub(crate) fn deadline_after(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

/// Sets the rules; see [`Sessions::builder`].
#[derive(Debug, Default)]
#[must_use = "call `build`"]
pub struct Builder {
    rules: Rules,
}

impl Builder {
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

    /// Uses only what every Unix has (no unnamed files, no marks). For tests of the fall-backs.
    #[doc(hidden)]
    pub fn portable(mut self, portable: bool) -> Self {
        self.rules.portable = portable;
        self
    }

    /// Takes every filesystem for one that several hosts share. For tests.
    #[doc(hidden)]
    pub fn shared(mut self, shared: bool) -> Self {
        self.rules.shared = shared;
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

/// A turn that has lasted longer than [`Builder::max_hold`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LongHold {
    /// The session file.
    pub session: PathBuf,
    /// The turn's identity.
    pub owner: Uuid,
    /// What the holder says it is doing.
    pub label: Option<String>,
    /// For how long it has been held.
    pub held: Duration,
}

impl LongHold {
    pub(crate) fn new(session: &Path, hold: &Hold, held: Duration) -> Self {
        Self {
            session: session.to_owned(),
            owner: hold.owner,
            label: hold.label.as_deref().map(str::to_owned),
            held,
        }
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
    pub fn builder() -> Builder {
        Builder::default()
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
        self.post_lines(Caller::Task, path.as_ref(), Lines::of([line])?, false).await
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
        let lines = Lines::of(lines)?;
        self.post_lines(Caller::Task, path.as_ref(), lines, false).await
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
        let lines = Lines::of(lines)?;
        self.post_lines(Caller::Task, path.as_ref(), lines, true).await
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
        at_once(self.post_lines(Caller::Thread, path.as_ref(), Lines::of([line])?, false))
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
        at_once(self.post_lines(Caller::Thread, path.as_ref(), Lines::of(lines)?, create))
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
        let revoke = move |door| {
            let Some(mut data) = data_lock(door, &place, true)? else {
                return Ok(data::Reached::Busy);
            };
            let revoked = lockfile::revoke(&place, &data, named, &rules);
            data.discard_unused(false, || Ok(()));
            revoked.map(data::Reached::Done)
        };
        let operation = data::under_data_lock(
            slot,
            Caller::Thread,
            self.rules.deadline(),
            self.rules.acquire_timeout,
            true,
            revoke,
        );
        let holder = at_once(operation)?;
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
        Ok(probe::filesystem(dir.as_ref())?.to_string())
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
        crate::registry::held_count()
    }
}

/// The data lock: the one that was waited for, or one of our own if it is free.
pub(crate) fn data_lock(door: data::Door, place: &Place, create: bool) -> Result<Option<DataLock>> {
    if let data::Door::Have(data) = door {
        return Ok(Some(data));
    }
    let missing = || Error::NoSession { path: place.session().to_owned() };
    let session = SessionFile::open(place, create)?.ok_or_else(missing)?;
    match session.try_lock(place, create)? {
        Locking::Locked(data) => Ok(Some(data)),
        Locking::Busy(_) => Ok(None),
        Locking::Missing => Err(missing()),
    }
}
