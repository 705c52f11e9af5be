//! The front of the library: how to take a turn on a session, post to it, revoke its holder, or
//! clean up among many.

mod acquire;
mod address;
mod below;
pub mod doctor;
mod guard;
mod lines;
mod one;
pub(crate) mod paths;
mod post;
mod start;
pub(crate) mod sweep;
mod under;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::datafile::{Appended, Batch, NotMade, Tail, make_one};
use crate::error::{Error, Holder, Result};
#[cfg(doc)]
use crate::lock::LockState;
use crate::lock::{self, Named};
use crate::metrics;
use crate::mode::{Mode, now_or_never};
use crate::outside::note;
use crate::place::Place;
use crate::rules::{Durability, LongHold, Rules};
use crate::session::data_lock::{enter_section, in_section};
use crate::session::{self, SlotRef};
use crate::sys::{Dir, Users, filesystem};
use doctor::Doctor;
use sweep::{DirectoryReport, LockReport};

pub use acquire::Acquire;
use address::Address;
pub use guard::{AcquireGuard, Guard};
use lines::Lines;
pub use one::Session;
pub use start::Ticket;

/// The way to all sessions: takes turns, posts, looks, cleans up and repairs, by one set of rules.
///
/// One value serves a whole program, and is cheap to clone. All values in one process share the
/// same queues: a session is the same session through each of them.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    rules: Arc<Rules>,
}

/// Sets the rules of a [`Sessions`]; see [`Sessions::builder`].
#[derive(Debug, Default)]
#[must_use = "call `build`"]
pub struct SessionsBuilder {
    pub(crate) rules: Rules,
}

impl SessionsBuilder {
    /// Sets how long an acquire, a post or an append may wait. Default: 10 s. Zero means one try.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.rules.acquire_timeout = Some(timeout);
        self
    }

    /// Waits without limit.
    pub fn no_acquire_timeout(mut self) -> Self {
        self.rules.acquire_timeout = None;
        self
    }

    /// Sets the hold after which a turn is reported, once. It is never taken away for that.
    /// Default: 5 min.
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.rules.max_hold = max_hold;
        self
    }

    /// Sets a callback for each turn that is held longer than [`max_hold`](Self::max_hold). A
    /// thread of its own calls it, in addition to a `tracing` warning. A callback that does not
    /// return holds up the reports on other turns, and nothing else.
    pub fn on_long_hold(mut self, callback: impl Fn(&LongHold) + Send + Sync + 'static) -> Self {
        self.rules.on_long_hold = Some(Arc::new(callback));
        self
    }

    /// Sets how long an empty or half-written lock file of a foreign program is respected after its
    /// last change. Default: 30 s.
    pub fn malformed_grace(mut self, grace: Duration) -> Self {
        self.rules.malformed_grace = grace;
        self
    }

    /// Sets the age from which on a living owner is reported as too old. Default: 30 min. Age is
    /// never a reason to take a lock.
    pub fn too_old(mut self, age: Duration) -> Self {
        self.rules.too_old = age;
        self
    }

    /// Sets whether all programs that use the sessions are in the PID namespace of this process, or
    /// in one that can be seen from it. Default: `false`.
    ///
    /// A process in a container does not see the processes of its host and of other containers. A
    /// lock of a foreign program whose process it does not find may belong to one of them. Such a
    /// lock is left alone ([`LockState::Unseen`]), and an acquire waits for it. Set this in a
    /// container that shares its sessions with nobody: locks of processes that are not there are
    /// then taken over at once.
    pub fn assume_local(mut self, assume_local: bool) -> Self {
        self.rules.assume_local = assume_local;
        self
    }

    /// Sets when an append counts as done. Default: [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.rules.durability = durability;
        self
    }

    /// Lets only this user use session files that are created (0600).
    ///
    /// Without this or [`mode`](Self::mode), a new session file follows its directory: the umask or
    /// the default access control list says who may use it, and a setgid bit gives it the
    /// directory's group. A missing directory is created for this user alone (0700).
    pub fn private(mut self) -> Self {
        self.rules.users = Users::OwnerOnly;
        self
    }

    /// Gives session files that are created these permission bits, whatever the umask is.
    pub fn mode(mut self, mode: u32) -> Self {
        self.rules.users = Users::Mode(mode);
        self
    }

    /// Returns the sessions under these rules.
    ///
    /// # Errors
    /// [`Error::Config`] if `max_hold` or `too_old` is zero, if `malformed_grace` is longer than a
    /// day, or if `mode` does not let the owner read and write, or is no mode.
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
                reason: "it must not be longer than a day, because a lock file that a crash left \
                         empty blocks its session for as long",
            });
        }
        if let Users::Mode(mode) = self.rules.users
            && (mode & 0o600 != 0o600 || mode & !0o777 != 0)
        {
            return Err(Error::Config {
                name: "mode",
                reason: "it must be permission bits that let the owner read and write, as in 0o640",
            });
        }
        Ok(Sessions { rules: Arc::new(self.rules) })
    }
}

impl Sessions {
    /// Returns the sessions under the default rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a builder for sessions under other rules.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnlock::Sessions;
    ///
    /// # fn main() -> turnlock::Result<()> {
    /// let sessions = Sessions::builder().acquire_timeout(Duration::from_secs(60)).build()?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> SessionsBuilder {
        SessionsBuilder::default()
    }

    /// The session at `path` (`<dir>/<id>.jsonl`), for repeated use: its path is walked once.
    /// Nothing is created before a turn or a post needs it.
    ///
    /// **Blocking**: some quick system calls.
    ///
    /// # Errors
    /// If the path cannot be that of a session, or its directory cannot be opened. A directory that
    /// does not exist is no error.
    pub fn session(&self, path: impl AsRef<Path>) -> Result<Session> {
        Session::at(self, path.as_ref())
    }

    /// A turn on the session at `path` (`<dir>/<id>.jsonl`). It can be described before it is
    /// acquired.
    ///
    /// A directory that does not exist is created by the acquire (0700), and so is a session file
    /// ([`mode`](SessionsBuilder::mode)).
    pub fn turn(&self, path: impl AsRef<Path>) -> Acquire {
        Acquire::new(Arc::clone(&self.rules), Arc::new(Address::of(path.as_ref(), &self.rules)))
    }

    /// Appends one line without holding the turn, even while somebody else holds it. See
    /// [`post_all`](Self::post_all).
    ///
    /// # Errors
    /// Those of [`post_all`](Self::post_all).
    pub async fn post<T: Serialize + ?Sized>(
        &self,
        path: impl AsRef<Path>,
        line: &T,
    ) -> Result<Appended> {
        self.post_ready(Mode::Async, path.as_ref(), Batch::of([line])?, false).await
    }

    /// Appends a batch of lines without holding the turn: all of them, or nothing.
    ///
    /// They are appended beside a turn of this protocol, at any time. A foreign owner is waited
    /// for. A session that does not exist is not created, since its name may be mistyped; see
    /// [`post_creating`](Self::post_creating).
    ///
    /// **Cancel safety** and **Blocking** are those of
    /// [`Turn::append_all`](crate::Turn::append_all).
    ///
    /// # Errors
    /// - [`Error::NoSession`] if there is no such session
    /// - [`Error::Timeout`] if a foreign owner kept it
    /// - [`Error::Forked`] if it is busy, and this process is a fork
    /// - otherwise those of [`Turn::append_all`](crate::Turn::append_all), except for `LockLost`
    pub async fn post_all<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let batch = Batch::of(lines)?;
        self.post_ready(Mode::Async, path.as_ref(), batch, false).await
    }

    /// [`post_all`](Self::post_all) into a session that is created if there is none.
    ///
    /// # Errors
    /// Those of [`post_all`](Self::post_all), except for `NoSession`.
    pub async fn post_creating<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Appended> {
        let batch = Batch::of(lines)?;
        self.post_ready(Mode::Async, path.as_ref(), batch, true).await
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
        now_or_never(self.post_ready(Mode::Blocking, path.as_ref(), Batch::of([line])?, false))
    }

    /// [`post_all`](Self::post_all) for threads that may block. With `create` a session that does
    /// not exist is created.
    ///
    /// # Errors
    /// Those of [`post_all`](Self::post_all).
    pub fn post_all_blocking<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        lines: impl IntoIterator<Item = T>,
        create: bool,
    ) -> Result<Appended> {
        now_or_never(self.post_ready(Mode::Blocking, path.as_ref(), Batch::of(lines)?, create))
    }

    /// Posts a line that `make` makes from the last records of the session, under the data lock.
    ///
    /// `make` is called once, and is subject to what
    /// [`Turn::append_with`](crate::Turn::append_with) says of it.
    ///
    /// # Errors
    /// - those of [`post_all`](Self::post_all) and of
    ///   [`Turn::append_with`](crate::Turn::append_with)
    /// - [`Error::LockLost`] or [`Error::Changed`] if the post had to wait for a foreign owner, and
    ///   another program took the session once more while the line was made
    pub async fn post_with<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        let address = Arc::new(Address::of(path.as_ref(), &self.rules));
        self.post_lines(Mode::Async, address, Lines::to_make(make_one(make)), false).await
    }

    /// [`post_with`](Self::post_with) for threads that may block.
    ///
    /// # Errors
    /// Those of [`post_with`](Self::post_with).
    pub fn post_with_blocking<T: Serialize>(
        &self,
        path: impl AsRef<Path>,
        make: impl FnOnce(&Tail<'_>) -> Result<T, NotMade> + Send + 'static,
    ) -> Result<Appended> {
        let address = Arc::new(Address::of(path.as_ref(), &self.rules));
        let lines = Lines::to_make(make_one(make));
        now_or_never(self.post_lines(Mode::Blocking, address, lines, false))
    }

    async fn post_ready(
        &self,
        mode: Mode,
        path: &Path,
        batch: Batch,
        create: bool,
    ) -> Result<Appended> {
        let address = Arc::new(Address::of(path, &self.rules));
        self.post_lines(mode, address, Lines::Ready(batch), create).await
    }

    /// Takes the session from the holder with this owner, and from no other. Returns whom it was
    /// taken from. The next append of that holder fails with [`Error::LockLost`].
    ///
    /// **Blocking**: it waits for appends of others to end.
    ///
    /// # Errors
    /// - [`Error::NotTheHolder`] if somebody else holds it by now, or nobody
    /// - [`Error::ForeignHolder`] if the holder is a living program that knows no fence
    /// - [`Error::DataLockBusy`] if the holder is stopped inside an append; only the end of that
    ///   process helps
    /// - [`Error::Io`] if a file operation fails
    pub fn revoke(&self, path: impl AsRef<Path>, owner: Uuid) -> Result<Holder> {
        self.revoke_named(path.as_ref(), Named::Owner(owner))
    }

    /// [`revoke`](Self::revoke) with the holder named by its process id, as seen in this PID
    /// namespace.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke).
    pub fn revoke_pid(&self, path: impl AsRef<Path>, pid: u32) -> Result<Holder> {
        self.revoke_named(path.as_ref(), Named::Pid(pid))
    }

    fn revoke_named(&self, path: &Path, named: Named) -> Result<Holder> {
        let place = Place::resolve(path, false)?;
        let slot = SlotRef::of(place.clone());
        let rules = Arc::clone(&self.rules);
        let operation = {
            let place = place.clone();
            move |granted| {
                let Some(mut section) = enter_section(granted, &place, true)? else {
                    return Ok(None);
                };
                let is_held_here = session::owner_here(&place).is_some();
                let revoked = lock::revoke(&place, &section, named, is_held_here, &rules);
                section.discard_unused(false, || Ok(()));
                revoked.map(Some)
            }
        };
        let limit = self.rules.wait_limit();
        let holder = now_or_never(in_section(slot, Mode::Blocking, limit, true, operation))?;
        note!(WARN, [place = place.clone()],
            session = %place.session().display(), ?named, "revoked");
        metrics::revoked(&place);
        Ok(holder)
    }

    /// Looks at every `*.jsonl.lock` of a directory, removes those that are stale, and keeps the
    /// rest. Reports all of them. Meant for the start of a program.
    ///
    /// One bad entry never stops the others: what cannot be read is kept, and reported.
    ///
    /// **Blocking**: some microseconds for each lock.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub fn sweep(&self, dir: impl AsRef<Path>) -> Result<Vec<LockReport>> {
        sweep::sweep(dir.as_ref(), &self.rules)
    }

    /// [`sweep`](Self::sweep) over many directories, in parallel.
    ///
    /// Every owner process is looked up once. A system call that does not return for 10 s, as on a
    /// dead network mount, is given up and reported. It keeps a thread until it returns. Until
    /// then, the same lock is not tried again, nor is another one of its directory after the second
    /// such lock, nor of its mount after the third such directory. They are reported likewise.
    pub fn sweep_all(
        &self,
        dirs: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Vec<DirectoryReport> {
        sweep::sweep_many(dirs.into_iter().map(Into::into).collect(), &self.rules)
    }

    /// [`sweep_all`](Self::sweep_all) over a directory and all those below it, down to 12 levels.
    /// Follows no link. For stores with a directory for each session.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub fn sweep_below(&self, root: impl AsRef<Path>) -> Result<Vec<DirectoryReport>> {
        Ok(self.sweep_all(below::directories(root.as_ref())?))
    }

    /// [`status`](Self::status) over many directories, in the manner of
    /// [`sweep_all`](Self::sweep_all). Changes nothing.
    pub fn status_all(
        &self,
        dirs: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Vec<DirectoryReport> {
        sweep::look_at_many(dirs.into_iter().map(Into::into).collect(), &self.rules)
    }

    /// Removes a temporary file that interrupted work left behind, such as that of a rewrite or a
    /// repair (`<session>.rewrite-<uuid>.tmp`). `false` if somebody may still need it, as long as
    /// the session is held.
    ///
    /// **Blocking**: some microseconds.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_leftover(&self, path: impl AsRef<Path>) -> Result<bool> {
        sweep::leftover::remove_at(path.as_ref(), &self.rules)
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
    /// If the system cannot tell.
    pub fn filesystem(dir: impl AsRef<Path>) -> std::io::Result<String> {
        Ok(filesystem::filesystem(&Dir::open(dir.as_ref())?)?.to_string())
    }

    /// Looks at the lock of one session, and changes nothing; `None` if it has no lock file.
    ///
    /// # Errors
    /// If the path cannot be that of a session.
    pub fn status_of(&self, path: impl AsRef<Path>) -> Result<Option<LockReport>> {
        let place = Place::resolve(path.as_ref(), false)?;
        Ok(sweep::look(place.lock(), &self.rules))
    }

    /// Examines sessions: finds what is wrong with locks and transcripts. Repairs it on request.
    ///
    /// ```no_run
    /// let doctor = turnlock::Sessions::new().doctor();
    /// let examination = doctor.examine(["/home/me/.openclaw"], |_, _| {});
    /// for finding in &examination.findings {
    ///     let (path, problem) = (finding.path.display(), &finding.problem);
    ///     println!("{path}: {}: {problem} ({})", problem.name(), finding.treatment);
    /// }
    /// ```
    pub fn doctor(&self) -> Doctor {
        Doctor::new(self)
    }

    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// How many turns this process holds right now, through any `Sessions`.
    #[must_use]
    pub fn held_by_this_process() -> usize {
        session::held_count()
    }
}
