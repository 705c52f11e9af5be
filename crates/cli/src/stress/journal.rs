//! What every process notes down of what it does, so that its death loses nothing of it.
//!
//! One file per process, opened with `O_APPEND`, written without a buffer, in records of 64 bytes: none crosses a page, so that a
//! `SIGKILL` leaves it whole or not at all. Times are of `CLOCK_MONOTONIC`, one clock for all processes. A time is read *before* the
//! act it tells the beginning of, and *after* the act it tells the end of: the checker's proofs rest on this.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

/// Bytes of a record.
const LENGTH: usize = 64;
const MAGIC: u32 = 0x7572_6e31;
/// An append that belongs to no turn.
pub(super) const POST: u64 = u64::MAX;
/// An offset that the writer cannot know.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Nanoseconds of the clock that all processes share.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Kind { $($(#[$doc])* $name,)* }

        const KINDS: &[Kind] = &[$(Kind::$name),*];
    };
}

kinds! {
    /// A turn is asked for.
    Asked,
    /// The wait for a turn was given up by the asker itself.
    GaveUp,
    /// The turn was not had in time.
    TimedOut,
    /// The turn is had (`owner`; none for a foreign writer's).
    Acquired,
    /// An append of `count` lines from number `n` on is about to be asked for; `turn` is [`POST`] for a post.
    Begun,
    /// The append that began with line `n` was acknowledged, at offset `detail`.
    Acknowledged,
    /// It was refused because the turn was lost.
    Lost,
    /// Another program came between while it was written: it is there, or not.
    Overtaken,
    /// It failed otherwise; the process's standard error says how.
    Failed,
    /// The turn is about to be released.
    Releasing,
    /// The release went through; `detail` is 1 if it said that the turn had been lost.
    Released,
    /// A foreign writer found, when it was done, that its lock had been removed under its hands.
    Unprotected,
    /// A lock file is about to be removed by hand, or by a foreign writer that found its owner dead.
    Removing,
    /// It was removed.
    Removed,
    /// It was not removed: nothing stood there.
    Spared,
    /// Process `task` is about to be killed.
    Killing,
    /// Process `task` is dead.
    Killed,
    /// Process `task` has been stopped.
    Stopped,
    /// `owner` is about to be revoked.
    Revoking,
    /// `owner` was revoked; the session file was `detail` bytes long after that.
    Revoked,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) session: u16,
    pub(super) task: u32,
    pub(super) at: u64,
    pub(super) turn: u64,
    pub(super) n: u64,
    pub(super) count: u32,
    pub(super) detail: u64,
    pub(super) owner: u128,
}

impl Record {
    /// Something that happens now.
    pub(super) fn now(kind: Kind) -> Self {
        Self {
            kind,
            session: 0,
            task: 0,
            at: now(),
            turn: POST,
            n: 0,
            count: 0,
            detail: 0,
            owner: 0,
        }
    }

    fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.session.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.task.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.turn.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.n.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.count.to_le_bytes());
        bytes[36..40].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.detail.to_le_bytes());
        bytes[48..64].copy_from_slice(&self.owner.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        if u32::from_le_bytes(field(bytes, 36)) != MAGIC {
            return None;
        }
        Some(Self {
            kind: *KINDS.get(usize::from(bytes[0]))?,
            session: u16::from_le_bytes(field(bytes, 2)),
            task: u32::from_le_bytes(field(bytes, 4)),
            at: u64::from_le_bytes(field(bytes, 8)),
            turn: u64::from_le_bytes(field(bytes, 16)),
            n: u64::from_le_bytes(field(bytes, 24)),
            count: u32::from_le_bytes(field(bytes, 32)),
            detail: u64::from_le_bytes(field(bytes, 40)),
            owner: u128::from_le_bytes(field(bytes, 48)),
        })
    }
}

fn field<const N: usize>(bytes: &[u8; LENGTH], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

/// A process's journal, to be written.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// The journal of a child, or (`None`) of the conductor.
    pub(super) fn open(dir: &Path, child: Option<u32>) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path(dir, child)).map(Self)
    }

    pub(super) fn note(&self, record: &Record) {
        // A run whose journal cannot be written proves nothing: it must not go on as if it did.
        if let Err(error) = (&self.0).write_all(&record.encode()) {
            eprintln!("cannot write the journal: {error}");
            std::process::exit(1);
        }
    }

    /// Removes a lock file, and notes it before and after.
    pub(super) fn remove(&self, lock: &Path, about: Record) {
        self.note(&Record { kind: Kind::Removing, at: now(), ..about });
        let kind = if std::fs::remove_file(lock).is_ok() { Kind::Removed } else { Kind::Spared };
        self.note(&Record { kind, at: now(), ..about });
    }
}

fn path(dir: &Path, child: Option<u32>) -> PathBuf {
    dir.join(child.map_or("conductor.journal".to_owned(), |child| format!("{child}.journal")))
}

/// The journal of a child, or (`None`) of the conductor; empty if it never wrote one.
pub(super) fn read(dir: &Path, child: Option<u32>) -> io::Result<Vec<Record>> {
    let mut bytes = Vec::new();
    match File::open(path(dir, child)) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let (records, rest) = bytes.as_chunks::<LENGTH>();
    let damaged = || {
        io::Error::new(io::ErrorKind::InvalidData, format!("the journal of {child:?} is damaged"))
    };
    if !rest.is_empty() {
        return Err(damaged());
    }
    records.iter().map(|record| Record::decode(record).ok_or_else(damaged)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Some(3)).unwrap();
        let record = Record {
            session: 2,
            task: 9,
            turn: 77,
            n: 1 << 40,
            count: 4,
            detail: UNKNOWN,
            owner: u128::MAX - 5,
            ..Record::now(Kind::Acknowledged)
        };
        journal.note(&record);
        journal.note(&Record::now(Kind::Revoked));
        let read = read(dir.path(), Some(3)).unwrap();
        assert_eq!((read[0], read[1].kind, read.len()), (record, Kind::Revoked, 2));
        assert!(super::read(dir.path(), None).unwrap().is_empty());
    }
}
