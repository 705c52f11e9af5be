//! The journals in which all processes record what they do. They survive the death of a process.
//!
//! Each process has one file, opened with `O_APPEND` and written without a buffer, in records of 64
//! bytes. No record crosses a page, so `SIGKILL` leaves it whole or absent. All times are of
//! `CLOCK_MONOTONIC`, which all processes share. The time of a beginning is read *before* the act,
//! and the time of an end *after* it. The proofs of the checker rest on this.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

/// The bytes of a record.
const LENGTH: usize = 64;
const MAGIC: u32 = 0x7572_6e31;
/// The turn of an append that belongs to none.
pub(super) const POST: u64 = u64::MAX;
/// The offset of an append whose writer does not know it.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// The time of the clock that all processes share, in nanoseconds.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The kind of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Kind { $($(#[$doc])* $name,)* }

        const KINDS: &[Kind] = &[$(Kind::$name),*];
    };
}

kinds! {
    /// A turn is about to be asked for.
    Asked,
    /// The task gave up waiting for a turn.
    GaveUp,
    /// The turn was not granted in time.
    TimedOut,
    /// The turn was granted to `owner`, which is 0 for a foreign writer.
    Acquired,
    /// An append of `count` lines, from number `n` on, is about to begin. `turn` is [`POST`] for a
    /// post.
    Begun,
    /// The append from line `n` on was acknowledged, at offset `detail`.
    Acknowledged,
    /// The append was refused because the turn was lost.
    Lost,
    /// Another program wrote during the append: its lines are in the file or not.
    Overtaken,
    /// The append, or the rewrite, was refused because the session file is not as its turn knew it.
    /// Nothing was written.
    Told,
    /// The append, or the wait for a turn, failed otherwise. The process's standard error says how.
    Failed,
    /// The turn is about to rewrite the session.
    Rewriting,
    /// The session was rewritten.
    Rewritten,
    /// The turn is about to be released.
    Releasing,
    /// The turn was released. `detail` is 1 if it had been lost before.
    Released,
    /// A foreign writer found at its end that its lock file had been removed.
    Unprotected,
    /// A lock file is about to be removed by hand, or by a foreign writer because its owner is
    /// dead.
    Removing,
    /// The lock file was removed.
    Removed,
    /// There was no lock file to remove.
    Spared,
    /// The session file is about to be changed by a foreign program. `count` is the way, as
    /// [`Way::code`](super::changes::Way::code) has it.
    Changing,
    /// The session file was changed. `detail` bytes of the file as it was are still there.
    Changed,
    /// The session file was left as it was.
    Unchanged,
    /// The lock file was given a second name.
    Linked,
    /// Code that is not the library's is about to panic on a thread of this process.
    Panicking,
    /// Process `task` is about to be killed.
    Killing,
    /// Process `task` is dead.
    Killed,
    /// Process `task` has been stopped.
    Stopped,
    /// Process `task` goes on.
    Continued,
    /// `owner` is about to be revoked.
    Revoking,
    /// `owner` was revoked. The session file was `detail` bytes long after that.
    Revoked,
}

/// An event in a journal.
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
    /// An event that happens now.
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

/// The journal of this process.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// Opens the journal of a child, or with `None` of the conductor.
    pub(super) fn open(dir: &Path, child: Option<u32>) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path(dir, child)).map(Self)
    }

    pub(super) fn note(&self, record: &Record) {
        // A run without its journal proves nothing, so it must not go on.
        if let Err(error) = (&self.0).write_all(&record.encode()) {
            eprintln!("cannot write the journal: {error}");
            std::process::exit(1);
        }
    }

    /// Removes a lock file, with a record before and after.
    pub(super) fn remove(&self, lock: &Path, about: Record) {
        self.note(&Record { kind: Kind::Removing, at: now(), ..about });
        let kind = if std::fs::remove_file(lock).is_ok() { Kind::Removed } else { Kind::Spared };
        self.note(&Record { kind, at: now(), ..about });
    }
}

fn path(dir: &Path, child: Option<u32>) -> PathBuf {
    dir.join(child.map_or("conductor.journal".to_owned(), |child| format!("{child}.journal")))
}

/// Reads the journal of a child, or with `None` of the conductor. Empty if there is none.
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
