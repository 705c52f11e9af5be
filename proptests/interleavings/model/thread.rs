//! Registers of a thread, and its program counter: the next system call.

use super::fs::{Ino, Owner, Record, Tid};

/// Where in the code, once the data lock is held and the session file compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// Try: look for the lock file.
    Look,
    /// A waiter was granted the turn lock: compare inodes.
    Inode,
    HandCheck,
    UnlinkCheck,
    Fence,
    /// The fence was passed before the data lock was asked for (a seeded bug).
    Write,
    RevokeCheck,
    /// Keeper or sweep: try the lock.
    KeepTry,
    RewriteFence,
}

/// What to do once the data lock is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    NextOp,
    Wait,
    Poll,
    /// The keeper looks again later.
    KeepRest,
    /// Unlock the turn lock, and the release is over.
    LetGo,
    /// The fence refused: the turn is lost, only its release is left to do.
    Lost,
    /// The holder is told that the session file is not as it knew it. It looks, and goes on.
    Told,
}

/// The next system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pc {
    /// Nothing to do (yet).
    Idle,
    Done,
    Dead,
    // The data lock.
    Open(Then),
    Lock(Then),
    Compare(Then),
    Unlock(After),
    // Acquire, and the post's try.
    Door,
    LookOutside,
    PublishOutside,
    Look,
    TryLock,
    Inode,
    Judge,
    Spoil,
    Restore,
    /// A file with a second name is exchanged with a new one.
    Exchange,
    /// What was there is compared with what was judged.
    Exchanged,
    /// It was another's: is the new one still there?
    ExchangedLook,
    ExchangeBack,
    RemoveDead,
    Publish,
    LockMade,
    WriteMade,
    PutBack,
    Wait,
    /// The task gave up; its waiting thread still blocks.
    Parked,
    /// The lock was granted when nobody wanted it any more.
    Unwanted,
    Poll,
    // Release.
    Choose,
    HandCheck,
    HandSpoil,
    HandRestore,
    UnlinkCheck,
    Unlink,
    Disown,
    RemoveSession,
    LetGo,
    /// The lock is released, and the keeper does not know of it yet.
    Tell,
    // Append, post and rewrite.
    FencePath,
    FenceRecord,
    /// Looks at the last line, to make one from it.
    Make,
    /// Takes the session file from its path.
    Away,
    Write,
    CutBack,
    CompareAgain,
    FenceAgain,
    PostedBorrowed,
    Snapshot,
    Carry,
    LockNew,
    Rename,
    UnlockNew,
    // Revoke, keeper, sweep.
    Name,
    RevokeCheck,
    RevokeUnlink,
    SweepOpen,
    /// It keeps the lock of a turn that was released, for the next one of its process.
    Keeping,
    KeepRest,
    KeepTry,
    KeepCheck,
    KeepUnlink,
    KeepLetGo,
    // A foreign program.
    ForeignCreate,
    ForeignRead,
    ForeignReclaim,
    ForeignPoll,
    ForeignWrite,
    ForeignOpen,
    ForeignAppend,
    ForeignLoad,
    ForeignStore,
    ForeignRemove,
}

impl Pc {
    /// Between the fence, or a post's try, and the acknowledgement.
    pub fn is_writing(self) -> bool {
        matches!(self, Pc::Write | Pc::CutBack | Pc::FenceAgain | Pc::CompareAgain)
    }
}

/// A hold, as the thread that was granted it believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    pub owner: Owner,
    pub ino: Ino,
    /// The acquire whose descriptor this is: a hand-over passes it on.
    pub ofd: Owner,
    /// Sequence number of the record within its process, if that has a keeper.
    pub number: u8,
}

/// The session file as a turn has last seen it, under the data lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    /// Its descriptor stays open, so that no other file gets this number.
    pub ino: Ino,
    pub lines: u8,
    /// The line that was the last.
    pub last: Option<u8>,
}

/// What a poller last saw: it looks again when that has changed.
pub type Seen = (Option<Ino>, Option<Record>, bool);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    pub op: u8,
    pub pc: Pc,
    pub turn: Option<Turn>,
    /// The lock file that is open: wanted, named, or a foreign program's own.
    pub file: Option<Ino>,
    /// A new lock file that was exchanged with what was at the path, and what that was.
    pub exchanged: Option<(Ino, Ino)>,
    /// The owner that a revoke, a keeper or a sweep means.
    pub named: Option<Record>,
    pub data: Option<Ino>,
    pub fresh: Option<Ino>,
    pub seen: Option<Seen>,
    /// What the turn knows of the session file. Noted only where a foreign program changes that
    /// file.
    pub known: Option<Known>,
    /// Was the session file another, or shorter than it knew, when the section began?
    pub changed: bool,
    /// Was it not told that the path names another file?
    pub deaf: bool,
    /// To whom the turn is being handed.
    pub heir: Option<Tid>,
    /// What a keeper is to look after next, or is to be told of.
    pub next: Option<(Turn, bool)>,
    /// How many lines the rewrite has carried over.
    pub carried: u8,
    /// Did this turn make the session file, and not write to it?
    pub made: bool,
    /// Is it inside a section (data lock held and compared, as it believes)?
    pub inside: bool,
    /// The last line that was looked at, to make one from it.
    pub looked: Option<Option<u8>>,
    /// Had the turn been lost or closed when the section began?
    pub late: bool,
}

impl Thread {
    pub fn new(pc: Pc) -> Self {
        Thread {
            op: 0,
            pc,
            turn: None,
            file: None,
            exchanged: None,
            named: None,
            data: None,
            fresh: None,
            seen: None,
            known: None,
            changed: false,
            deaf: false,
            heir: None,
            next: None,
            carried: 0,
            made: false,
            inside: false,
            looked: None,
            late: false,
        }
    }
}
