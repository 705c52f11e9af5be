//! Door 2: the lock file. Publish, look, take over, hand over, revoke, release: blocking calls that never wait for a lock.
//!
//! Whatever changes who holds wants a [`DataLock`] as proof that it happens under the data lock (I2).

pub(crate) mod fence;
pub(crate) mod marks;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod verdict;
pub(crate) mod waiter;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use uuid::Uuid;

use crate::error::{Context, Error, Holder, LostCause, Result};
use crate::flock;
use crate::place::{CAREFUL, FileId, Place, give_to_owner_of, stat_named};
use crate::registry::{self, Want};
use crate::sessions::Rules;
use crate::transcript::DataLock;
use record::{Reading, Record};
use verdict::{Facts, Outcome, Processes, Reason, Verdict};

/// A lock file that this process holds. Dropping it lets go; the file stays, and is taken over.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    id: FileId,
    /// The record, as it was written.
    record: Box<[u8]>,
    /// The process that acquired it.
    pid: u32,
}

/// What a try brought.
pub(crate) enum Try {
    Held(LockFile),
    Busy(Obstacle),
}

/// What stands in the way.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// The kernel says that somebody has it.
    Kernel {
        /// Whether the record is of our protocol. If not, somebody is only judging a foreign owner, who may live.
        ours: bool,
    },
    /// A foreign program that lives, by its process.
    Foreign,
    /// An empty or half-written file that is still fresh.
    Fresh,
    /// An owner of another boot or host, on a network filesystem.
    Remote(Box<Record>),
    /// A lock file of another user, that we may not open.
    Closed,
}

impl Obstacle {
    /// Whether this is a living holder of our own protocol, whose turn a post may go beside.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Kernel { ours: true })
    }
}

/// Tries once, under the data lock: publish, or take over what nobody holds.
pub(crate) fn try_take(place: &Place, data: &DataLock, want: &Want) -> Result<Try> {
    loop {
        let file = match open(place.lock())? {
            Opened::File(file) => file,
            Opened::Denied => return Ok(Try::Busy(Obstacle::Closed)),
            Opened::None => match publish(place, want)? {
                Some(held) => return Ok(Try::Held(held)),
                // A foreign program put one there in between; look at that.
                None => continue,
            },
        };
        if !flock::try_lock(&file).context("lock", place.lock())? {
            // Nobody rewrites it meanwhile: that takes the data lock (I2).
            let reading = record::read(&file).context("read", place.lock())?;
            let ours = matches!(reading, Reading::Ours(_) | Reading::Spoiled);
            return Ok(Try::Busy(Obstacle::Kernel { ours }));
        }
        match settle(place, file, data, want)? {
            Settled::Held(held) => return Ok(Try::Held(held)),
            Settled::Obstacle(obstacle) => return Ok(Try::Busy(obstacle)),
            Settled::Moved => {}
        }
    }
}

/// What became of a lock file whose `flock` was granted.
pub(crate) enum Settled {
    Held(LockFile),
    Obstacle(Obstacle),
    /// The path names another file by now: start again.
    Moved,
}

/// Compares (I3), judges, and takes over in place (I6), a file whose `flock` we have.
pub(crate) fn settle(place: &Place, file: File, _data: &DataLock, want: &Want) -> Result<Settled> {
    // From here on every way out lets go of it.
    let mut held = LockFile::new(file, place)?.0;
    let Some(stat) = stat_named(place.lock()).context("look at", place.lock())? else { return Ok(Settled::Moved) };
    if FileId::of(&stat) != held.id {
        return Ok(Settled::Moved);
    }
    let reading = record::read(&held.file).context("read", place.lock())?;
    match judge(&reading, &stat, &want.rules) {
        Judgement::Free(reasons) => {
            tracing::info!(lock = %place.lock().display(), ?reasons, "take over");
            held.write(want, stat.st_size as usize).context("take over", place.lock())?;
            held.mark(want);
            Ok(Settled::Held(held))
        }
        Judgement::Obstacle(obstacle) => Ok(Settled::Obstacle(obstacle)),
    }
}

impl LockFile {
    fn new(file: File, place: &Place) -> Result<(Self, Stat)> {
        let stat = rustix::fs::fstat(&file).context("look at", place.lock())?;
        let held = Self { id: FileId::of(&stat), file, record: Box::default(), pid: std::process::id() };
        Ok((held, stat))
    }

    /// Rewrites the record in place, for a new owner.
    fn write(&mut self, want: &Want, length: usize) -> io::Result<()> {
        let bytes = record::encode(want, SystemTime::now(), length);
        record::rewrite(&self.file, &bytes)?;
        self.record = bytes.into_boxed_slice();
        Ok(())
    }

    fn mark(&self, want: &Want) {
        if want.rules.marks(self.id.dev) {
            marks::hold(&self.file);
        }
    }

    /// Hands the lock over to another waiter of this process: the record is rewritten, nothing else on disk changes.
    pub(crate) fn hand_over(&mut self, _data: &DataLock, want: &Want) -> io::Result<()> {
        self.write(want, self.record.len())
    }

    /// How the lock was lost, if it was (I4). Under the data lock the answer stays true.
    pub(crate) fn lost(&self, place: &Place) -> Result<Option<LostCause>> {
        if self.is_forked() {
            return Ok(Some(LostCause::Forked));
        }
        match FileId::named_by(place.lock()).context("look at", place.lock())? {
            None => return Ok(Some(LostCause::Removed)),
            Some(id) if id != self.id => return Ok(Some(LostCause::Replaced)),
            Some(_) => {}
        }
        let mine = record::is_still(&self.file, &self.record).context("read", place.lock())?;
        Ok((!mine).then_some(LostCause::TakenOver))
    }

    /// Whether this process is a fork of the one that acquired the lock.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Whether a waiter of another process has marked the file.
    pub(crate) fn somebody_waits(&self, rules: &Rules) -> bool {
        // Where there are no marks somebody may always wait: the file is left, and the keeper looks later.
        !rules.marks(self.id.dev) || marks::somebody_waits(&self.file)
    }

    /// Removes the lock file, which is still ours: compare with [`lost`](Self::lost) under the same data lock first (I14).
    pub(crate) fn unlink(&self, place: &Place, _data: &DataLock) -> Result<()> {
        match rustix::fs::unlink(place.lock()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e).context("remove", place.lock()),
        }
    }

    /// Lets go without removing the file. What comes back can tidy up later.
    pub(crate) fn unlock(mut self) -> Leftover {
        self.release();
        // No process has this id: from now on dropping it does nothing.
        self.pid = 0;
        Leftover(self)
    }

    fn release(&self) {
        if !self.is_forked() {
            marks::end_hold(&self.file);
            flock::unlock(&self.file);
        }
    }

    /// The descriptor, for a child that is to inherit the lock.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.release();
    }
}

/// A lock file that was let go with its record left in it: the next holder takes it over, or the keeper removes it.
pub(crate) struct Leftover(LockFile);

impl Leftover {
    /// Removes the file if nobody has taken it meanwhile; `false` when that has to be tried again later.
    pub(crate) fn tidy(&self, place: &Place) -> Result<bool> {
        let LockFile { file, id, record, .. } = &self.0;
        if !flock::try_lock(file).context("lock", place.lock())? {
            return Ok(true);
        }
        let tidied = self.remove(place, *id, record);
        flock::unlock(file);
        tidied
    }

    fn remove(&self, place: &Place, id: FileId, record: &[u8]) -> Result<bool> {
        let Some(data) = DataLock::try_now(place, true)? else { return Ok(false) };
        let untouched = FileId::named_by(place.lock()).context("look at", place.lock())? == Some(id)
            && record::is_still(&self.0.file, record).context("read", place.lock())?;
        if untouched {
            self.0.unlink(place, &data)?;
        }
        Ok(true)
    }
}

/// What opening a lock file brought.
pub(crate) enum Opened {
    File(File),
    None,
    /// Another user's.
    Denied,
}

/// Opens a lock file, following and awaiting nothing.
pub(crate) fn open(lock: &Path) -> Result<Opened> {
    open_with(lock, OFlags::RDWR)
}

/// Opens a lock file only to look at it.
pub(crate) fn open_to_look(lock: &Path) -> Result<Opened> {
    open_with(lock, OFlags::RDONLY)
}

fn open_with(lock: &Path, access: OFlags) -> Result<Opened> {
    let not_ours = |reason| Error::NotALockFile { path: lock.to_owned(), reason };
    let file = match rustix::fs::open(lock, access | CAREFUL, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(Opened::None),
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Opened::Denied),
        Err(Errno::LOOP) => return Err(not_ours("it is a symbolic link")),
        Err(Errno::ISDIR) => return Err(not_ours("it is a directory")),
        Err(Errno::NXIO) => return Err(not_ours("it is a socket or a pipe")),
        Err(e) => return Err(e).context("open", lock),
    };
    let stat = rustix::fs::fstat(&file).context("look at", lock)?;
    match (FileType::from_raw_mode(stat.st_mode), stat.st_nlink) {
        // It was removed in between; whoever locks it will see that the path names it no more.
        (FileType::RegularFile, 0 | 1) => Ok(Opened::File(file)),
        (FileType::RegularFile, _) => Err(not_ours("it has several names (hard links)")),
        (FileType::Directory, _) => Err(not_ours("it is a directory")),
        _ => Err(not_ours("it is no regular file")),
    }
}

/// Makes a lock file, complete before anyone can see it (I5); `None` if the name is taken.
fn publish(place: &Place, want: &Want) -> Result<Option<LockFile>> {
    if !want.rules.portable
        && let Some(file) = unnamed_in(place.dir()).context("create a lock file in", place.dir())?
    {
        let held = fill(file, place, want)?;
        let by_descriptor = format!("/proc/self/fd/{}", held.file.as_raw_fd());
        match rustix::fs::linkat(CWD, by_descriptor.as_str(), CWD, place.lock(), AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => return Ok(Some(held)),
            Err(Errno::EXIST) => return Ok(None),
            // No hard links here, or no /proc: the portable way finds out which.
            Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV) => {}
            Err(e) => return Err(e).context("publish", place.lock()),
        }
    }
    publish_by_rename(place, want)
}

fn unnamed_in(dir: &Path) -> io::Result<Option<File>> {
    match rustix::fs::open(dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn publish_by_rename(place: &Place, want: &Want) -> Result<Option<LockFile>> {
    let temporary = place.dir().join(format!(".turnlock-{}.tmp", Uuid::now_v7()));
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .context("create a lock file", &temporary)?;
    let published = fill(file, place, want).and_then(|held| {
        match rustix::fs::renameat_with(CWD, &temporary, CWD, place.lock(), RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Some(held)),
            Err(Errno::EXIST) => Ok(None),
            Err(e) => Err(e).context("publish", place.lock()),
        }
    });
    if !matches!(published, Ok(Some(_))) {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    published
}

fn fill(file: File, place: &Place, want: &Want) -> Result<LockFile> {
    let bytes = record::encode(want, SystemTime::now(), 0);
    let filled = flock::try_lock(&file)
        .and_then(|_| file.write_all_at(&bytes, 0))
        .and_then(|()| give_to_owner_of(place.dir(), &file));
    filled.context("write a lock file in", place.dir())?;
    let (mut held, _) = LockFile::new(file, place)?;
    held.record = bytes.into_boxed_slice();
    held.mark(want);
    Ok(held)
}

/// What a record whose `flock` nobody has is worth.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// Nobody holds it, and why.
    Free(Vec<Reason>),
    /// Somebody may.
    Obstacle(Obstacle),
}

/// Judges a lock file whose `flock` is free: the record decides.
pub(crate) fn judge(reading: &Reading, stat: &Stat, rules: &Rules) -> Judgement {
    // Who contends for a lock holds none: a hold of this process would have been met at the first door.
    judge_by(reading, stat, &Processes { registry_knows: false }, rules)
}

/// The same, by facts about processes that are known already.
pub(crate) fn judge_by(reading: &Reading, stat: &Stat, facts: &impl Facts, rules: &Rules) -> Judgement {
    match reading {
        Reading::Spoiled => Judgement::Free(vec![Reason::DeadOwner]),
        Reading::Ours(record) if rules.remote(stat.st_dev) && !record.same_boot() => {
            Judgement::Obstacle(Obstacle::Remote(Box::new(record.clone())))
        }
        Reading::Ours(record) if record.same_boot() => Judgement::Free(vec![Reason::DeadOwner]),
        Reading::Ours(_) => Judgement::Free(vec![Reason::OtherBoot]),
        Reading::Foreign(record) if rules.remote(stat.st_dev) => {
            Judgement::Obstacle(Obstacle::Remote(Box::new(record.clone())))
        }
        Reading::Foreign(record) => judge_foreign(record, stat, facts, rules),
        Reading::Malformed { empty } => {
            judge_malformed(stat, rules, if *empty { Reason::Empty } else { Reason::Malformed })
        }
    }
}

/// What a foreign record's process says.
pub(crate) fn verdict_on(record: &Record, registry_knows: bool, rules: &Rules) -> Verdict {
    verdict_by(record, &Processes { registry_knows }, rules)
}

/// The same, by facts about processes that are known already.
pub(crate) fn verdict_by(record: &Record, facts: &impl Facts, rules: &Rules) -> Verdict {
    verdict::judge(&record.claim(), facts, Timestamp::now(), rules.too_old)
}

fn judge_foreign(record: &Record, stat: &Stat, facts: &impl Facts, rules: &Rules) -> Judgement {
    let verdict = verdict_by(record, facts, rules);
    match verdict.outcome {
        Outcome::Nobody => judge_malformed(stat, rules, Reason::MissingPid),
        Outcome::Dead => Judgement::Free(verdict.reasons),
        Outcome::Alive => Judgement::Obstacle(Obstacle::Foreign),
    }
}

/// A foreign writer may be between creating its file and writing into it: respected while fresh.
fn judge_malformed(stat: &Stat, rules: &Rules, reason: Reason) -> Judgement {
    let changed = Duration::new(stat.st_mtime.max(0) as u64, stat.st_mtime_nsec as u32);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // A time in the future, or from before the boot, tells nothing: it counts as expired.
    let fresh = now.checked_sub(changed).is_some_and(|age| age < rules.malformed_grace)
        && since_epoch(process::boot_time()) <= changed;
    if fresh { Judgement::Obstacle(Obstacle::Fresh) } else { Judgement::Free(vec![reason]) }
}

fn since_epoch(time: Option<Timestamp>) -> Duration {
    time.and_then(|time| SystemTime::from(time).duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default()
}

/// Who stands in the way at a lock path, for messages and for `status`. Takes no lock.
pub(crate) fn holder_at(place: &Place, rules: &Rules) -> Option<Holder> {
    let Ok(Opened::File(file)) = open_to_look(place.lock()) else { return None };
    let own_hold = registry::hold_of(place);
    match record::read(&file).ok()? {
        Reading::Ours(record) => {
            let alive = own_hold.is_some() || somebody_lives(&file, rules);
            Some(record.holder(alive, false))
        }
        Reading::Foreign(record) => {
            let verdict = verdict_on(&record, own_hold.is_some(), rules);
            Some(record.holder(verdict.alive(), true))
        }
        Reading::Spoiled | Reading::Malformed { .. } => None,
    }
}

/// Whether a holder of our protocol lives, by its mark, without touching its lock.
pub(crate) fn somebody_lives(file: &File, rules: &Rules) -> bool {
    match rustix::fs::fstat(file) {
        Ok(stat) if rules.marks(stat.st_dev) => marks::somebody_holds(file),
        // Without marks only the lock itself could tell, and that must not be disturbed.
        _ => true,
    }
}

/// Who is named in a revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Owner(Uuid),
    Pid(u32),
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner(owner) => write!(f, "owner {owner}"),
            Self::Pid(pid) => write!(f, "pid {pid}"),
        }
    }
}

/// Takes the lock from the named owner, and from no other, by removing its file under the data lock.
pub(crate) fn revoke(place: &Place, _data: &DataLock, named: Named, rules: &Rules) -> Result<Holder> {
    let not_the_holder = |holder: Option<Holder>| Error::NotTheHolder {
        lock: place.lock().to_owned(),
        named: named.to_string(),
        holder: holder.map(Box::new),
    };
    let file = match open_to_look(place.lock())? {
        Opened::File(file) => file,
        Opened::None => return Err(not_the_holder(None)),
        Opened::Denied => return Err(Errno::ACCESS).context("open", place.lock()),
    };
    let (record, foreign) = match record::read(&file).context("read", place.lock())? {
        Reading::Ours(record) => (record, false),
        Reading::Foreign(record) => (record, true),
        Reading::Spoiled | Reading::Malformed { .. } => return Err(not_the_holder(None)),
    };
    let alive = if foreign {
        verdict_on(&record, registry::hold_of(place).is_some(), rules).alive()
    } else {
        somebody_lives(&file, rules)
    };
    let holder = record.holder(alive, foreign);
    if !is_named(&record, named) {
        return Err(not_the_holder(Some(holder)));
    }
    if foreign && alive {
        return Err(Error::ForeignHolder { lock: place.lock().to_owned(), holder: Box::new(holder) });
    }
    // Nobody of our protocol puts another file there while we have the data lock.
    let stat = rustix::fs::fstat(&file).context("look at", place.lock())?;
    if FileId::named_by(place.lock()).context("look at", place.lock())? != Some(FileId::of(&stat)) {
        return Err(not_the_holder(None));
    }
    std::fs::remove_file(place.lock()).context("remove", place.lock())?;
    Ok(holder)
}

/// A pid means something only in its own PID namespace.
fn is_named(record: &Record, named: Named) -> bool {
    let me = process::own();
    match named {
        Named::Owner(owner) => record.owner == Some(owner),
        Named::Pid(pid) => {
            record.holder(true, false).pid == Some(i64::from(pid))
                && record.pid_ns.is_none_or(|ns| me.pid_namespace == Some(ns))
                && record.same_boot()
        }
    }
}

/// What a sweep found at a lock path.
pub(crate) enum Swept {
    /// It was stale, and is gone.
    Removed(Vec<Reason>),
    /// Somebody holds it, or may.
    Kept,
    /// There is no lock file any more.
    Gone,
}

/// Removes a lock file that nobody holds, under its own `flock` and the data lock.
pub(crate) fn remove_stale(place: &Place, _data: &DataLock, rules: &Rules) -> Result<Swept> {
    let file = match open(place.lock())? {
        Opened::File(file) => file,
        Opened::None => return Ok(Swept::Gone),
        Opened::Denied => return Ok(Swept::Kept),
    };
    if !flock::try_lock(&file).context("lock", place.lock())? {
        return Ok(Swept::Kept);
    }
    let (held, stat) = LockFile::new(file, place)?;
    if FileId::named_by(place.lock()).context("look at", place.lock())? != Some(held.id) {
        return Ok(Swept::Gone);
    }
    let reading = record::read(&held.file).context("read", place.lock())?;
    match judge(&reading, &stat, rules) {
        Judgement::Obstacle(_) => Ok(Swept::Kept),
        Judgement::Free(reasons) => {
            std::fs::remove_file(place.lock()).context("remove", place.lock())?;
            Ok(Swept::Removed(reasons))
        }
    }
}
