//! The turn lock as a file beside the session: published, looked at, taken over, handed over,
//! revoked, released.

pub(crate) mod fence;
pub(crate) mod judge;
mod lingering;
pub(crate) mod look;
pub(crate) mod marks;
mod open;
pub(crate) mod record;
mod remove;
pub(crate) mod verdict;
pub(crate) mod waiting;

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use uuid::Uuid;

use super::Want;
use crate::datafile::{Section, SessionFile};
use crate::error::{Context, LostCause, Result};
use crate::metrics;
use crate::place::Place;
use crate::rules::Rules;
use crate::sys::{AsFd, BorrowedFd, FileId, filesystem, flock};
pub(crate) use judge::holder_at;
use judge::{Judgement, judge};
pub(crate) use lingering::Lingering;
use open::{Opened, open, open_to_look, publish};
use record::{Reading, Record};
pub(crate) use remove::{Named, Swept, remove_stale, revoke};
use waiting::Waiting;

/// A lock file that this process holds. Dropping it lets go; the file stays, and is taken over.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    id: FileId,
    /// The record, as it was written.
    record: Box<[u8]>,
    /// Whose it is, by the record.
    owner: Uuid,
    /// Sequence number of this record within the process; at one path only the highest can still
    /// exist.
    number: u64,
    /// Whom it was taken over from, if that was one of our protocol.
    predecessor: Option<Uuid>,
    /// The process that acquired it; [`NOBODY`] once it has let go.
    pid: u32,
    /// Somebody else may have the descriptor, and so the lock.
    lent: bool,
}

/// No process has this id.
const NOBODY: u32 = 0;

/// How many records this process has written.
static RECORDS: AtomicU64 = AtomicU64::new(1);

/// What a try brought.
pub(crate) enum Try {
    Held(LockFile),
    Busy(Obstacle),
}

/// What stands in the way.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// The kernel says that somebody has it, and the record is of our protocol.
    Kernel {
        /// Which lock file was tried.
        id: FileId,
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
    /// The lock file of a holder of our own protocol, whose turn a post may go beside.
    pub(crate) fn ours(&self) -> Option<FileId> {
        match self {
            Self::Kernel { id } => Some(*id),
            _ => None,
        }
    }
}

/// Tries once, under the data lock: publish, or take over what nobody holds.
pub(crate) fn try_take(place: &Place, data: &Section, want: &Want) -> Result<Try> {
    loop {
        let (file, id) = match open(place)? {
            Opened::File(file, stat) => (file, stat.id),
            Opened::Denied => return Ok(Try::Busy(Obstacle::Closed)),
            Opened::None => match publish(place, want)? {
                Some(held) => return Ok(Try::Held(held)),
                // A foreign program put one there in between; look at that.
                None => continue,
            },
        };
        if !flock::try_lock(&file).context("lock", place.lock())? {
            return who_locked(&file, id, place).map(Try::Busy);
        }
        match settle_file(place, file, id, data, want)? {
            Settled::Held(held) => return Ok(Try::Held(held)),
            Settled::Obstacle(obstacle) => return Ok(Try::Busy(obstacle)),
            Settled::Moved => {}
        }
    }
}

/// Who has the kernel's lock on a lock file: its holder, by its record; or, on a foreign one, a waiter that was granted it only
/// to judge the owner, who may well be alive (I10).
fn who_locked(file: &File, id: FileId, place: &Place) -> Result<Obstacle> {
    match record::read(file).context("read", place.lock())? {
        Reading::Ours(_) | Reading::Spoiled => Ok(Obstacle::Kernel { id }),
        Reading::Foreign(_) => Ok(Obstacle::Foreign),
        Reading::Malformed { .. } => Ok(Obstacle::Fresh),
    }
}

/// What became of a lock file whose `flock` was granted.
pub(crate) enum Settled {
    Held(LockFile),
    Obstacle(Obstacle),
    /// The path names another file by now: start again.
    Moved,
}

/// Compares (I3), judges, and takes over in place (I6) a lock file whose `flock` was waited for.
pub(crate) fn settle(
    place: &Place,
    granted: Waiting,
    data: &Section,
    want: &Want,
) -> Result<Settled> {
    settle_file(place, granted.file, granted.id, data, want)
}

fn settle_file(
    place: &Place,
    file: File,
    id: FileId,
    _data: &Section,
    want: &Want,
) -> Result<Settled> {
    // From here on every way out lets go of it.
    let mut held = LockFile::new(file, id);
    let Some(stat) = place.stat_lock()? else { return Ok(Settled::Moved) };
    if stat.id != held.id {
        return Ok(Settled::Moved);
    }
    let reading = record::read(&held.file).context("read", place.lock())?;
    match judge(&reading, &stat, &want.rules) {
        Judgement::Free(reasons) => {
            tracing::info!(lock = %place.lock().display(), ?reasons, "take over");
            metrics::took_over(place);
            held.write(want, usize::try_from(stat.len).unwrap_or(usize::MAX))
                .context("take over", place.lock())?;
            held.mark(want);
            if let Reading::Ours(record) = &reading {
                held.predecessor = record.owner;
            }
            Ok(Settled::Held(held))
        }
        Judgement::Obstacle(obstacle) => Ok(Settled::Obstacle(obstacle)),
    }
}

/// Whether somebody waits for the lock in another process, and is to have it before one whose run is over.
pub(crate) fn others_wait(place: &Place, rules: &Rules) -> bool {
    match open_to_look(place) {
        Ok(Opened::File(file, stat)) => {
            rules.marks(stat.id.device()) && marks::somebody_is_next(&file)
        }
        _ => false,
    }
}

impl LockFile {
    fn new(file: File, id: FileId) -> Self {
        Self {
            id,
            file,
            record: Box::default(),
            owner: Uuid::nil(),
            number: 0,
            predecessor: None,
            pid: std::process::id(),
            lent: false,
        }
    }

    /// Rewrites the record in place, for a new owner. `length` is that of the file.
    fn write(&mut self, want: &Want, length: usize) -> io::Result<()> {
        let bytes = record::encode(want, SystemTime::now(), length);
        record::rewrite(&self.file, &bytes, length)?;
        self.bears(bytes, want.owner);
        Ok(())
    }

    /// Under the data lock this record has been written.
    fn bears(&mut self, record: Vec<u8>, owner: Uuid) {
        self.record = record.into_boxed_slice();
        self.owner = owner;
        self.number = RECORDS.fetch_add(1, Ordering::Relaxed);
    }

    fn mark(&self, want: &Want) {
        if want.rules.marks(self.id.device()) {
            marks::hold(&self.file);
        }
    }

    /// Hands the lock over to another waiter of this process: the record is rewritten, nothing else on disk changes.
    pub(crate) fn hand_over(&mut self, _data: &Section, want: &Want) -> io::Result<()> {
        self.write(want, self.record.len())
    }

    /// How the lock was lost, if it was (I4). Under the data lock the answer stays true.
    pub(crate) fn lost(&self, place: &Place) -> Result<Option<LostCause>> {
        if self.is_forked() {
            return Ok(Some(LostCause::Forked));
        }
        match place.lock_id()? {
            None => return Ok(Some(LostCause::Removed)),
            Some(id) if id != self.id => return Ok(Some(LostCause::Replaced)),
            Some(_) => {}
        }
        let mine = record::is_still(&self.file, &self.record).context("read", place.lock())?;
        Ok((!mine).then_some(LostCause::TakenOver))
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Whether this process is a fork of the one that acquired the lock.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    pub(crate) fn predecessor(&self) -> Option<Uuid> {
        self.predecessor
    }

    /// Whether the file is known to be on this machine.
    pub(crate) fn is_local(&self, rules: &Rules) -> bool {
        !rules.shared && filesystem::is_local(self.id.device())
    }

    /// Whether a waiter of another process has marked the file.
    pub(crate) fn somebody_waits(&self, rules: &Rules) -> bool {
        // Where there are no marks somebody may always wait: the file is left, and the keeper looks later.
        !rules.marks(self.id.device()) || marks::somebody_waits(&self.file)
    }

    /// Takes our name out of the lock file, which is still ours and goes next: from now on nobody can mean us by it.
    pub(crate) fn disown(&self) -> io::Result<()> {
        record::spoil(&self.file)
    }

    /// Removes the lock file, which is still ours, and lets go: compare with [`lost`](Self::lost) under the same data lock first (I14).
    ///
    /// A file that cannot be removed stays for the next one to take over.
    pub(crate) fn unlink(mut self, place: &Place, data: &Section) {
        if self.remove(place, data).is_ok() {
            flock::unlock(&self.file);
            // Nobody looks for marks on a file without a name.
            self.pid = NOBODY;
        }
    }

    fn remove(&self, place: &Place, _data: &Section) -> Result<()> {
        match place.dir().remove(place.lock_name()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.context("remove", place.lock()),
        }
    }

    /// Lets go without removing the file. What comes back can tidy up later, or go on.
    ///
    /// `session`: if the turn made the session file, that goes too when nobody ever wrote into it.
    pub(crate) fn unlock(self, session: Option<SessionFile>) -> Lingering {
        self.release();
        Lingering::of(self, session)
    }

    /// Keeps the lock for this process until `end`, when the keeper lets it go.
    pub(crate) fn keep_until(self, end: Instant, session: Option<SessionFile>) -> Lingering {
        Lingering::kept(self, session, end)
    }

    /// [`unlock`](Self::unlock), and then the data lock.
    pub(crate) fn unlock_before(self, data: Section) -> Lingering {
        self.release();
        Lingering::of(self, data.unlock())
    }

    fn release(&self) {
        if !self.is_forked() {
            marks::end_hold(&self.file);
            flock::unlock(&self.file);
        }
    }

    /// The descriptor, for a child that is to inherit the lock.
    pub(crate) fn lend(&mut self) -> BorrowedFd<'_> {
        self.lent = true;
        self.file.as_fd()
    }

    /// Whether somebody else may have the descriptor: then the lock is for this turn only, and the next one takes another.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::datafile::SOON;
    use crate::lock::{Known, LockState, Look, look};

    /// No process has this id.
    const DEAD_PID: i32 = 1 << 30;

    /// Takes a malformed record over at once.
    fn want() -> Want {
        let rules = Rules { malformed_grace: Duration::ZERO, ..Rules::default() };
        Want { owner: Uuid::now_v7(), label: None, facts: None, rules: Arc::new(rules) }
    }

    /// The record of a dead foreign owner, at least `length` bytes long.
    fn foreign_record(length: usize) -> String {
        let pad = "x".repeat(length);
        format!(r#"{{"pid":{DEAD_PID},"createdAt":"2026-04-15T10:00:00.000Z","pad":"{pad}"}}"#)
    }

    /// Takes over a lock file with this content, then looks at it and revokes it by its new owner.
    #[track_caller]
    fn take_over_and_revoke(content: &str) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::resolve(&dir.path().join("s.jsonl"), true).unwrap();
        std::fs::write(place.lock(), content).unwrap();
        let section = Section::lock_within(SOON, &place, true).unwrap().unwrap();
        let want = want();
        let Ok(Try::Held(held)) = try_take(&place, &section, &want) else { panic!("not taken") };

        let Reading::Ours(record) = record::read(&held.file).unwrap() else {
            panic!("a file of {} bytes cannot be read after it was taken over", content.len())
        };
        assert_eq!(record.owner, Some(want.owner));
        let (known, rules) = (Known::default(), Rules::default());
        let by = Look { rules: &rules, known: &known, own: None };
        let seen = look(&place, place.lock(), &by).unwrap().unwrap();
        assert_eq!(seen.state, LockState::Held);

        let holder = revoke(&place, &section, Named::Owner(want.owner), false, &rules).unwrap();
        assert_eq!(holder.owner, Some(want.owner));
        assert_eq!(held.lost(&place).unwrap(), Some(LostCause::Removed));
    }

    #[test]
    fn a_record_of_any_length_is_taken_over_whole() {
        for length in [0, 400, 4000, 4096, 6000, 60_000, 100_000] {
            take_over_and_revoke(&foreign_record(length));
        }
    }
}
