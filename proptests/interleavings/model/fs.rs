//! The file system the processes share: two paths, a few inodes, and the kernel's locks on them.

/// A thread of some process.
pub type Tid = u8;
/// A process.
pub type Pid = u8;
/// An inode number. Lock files and session files are numbered apart.
pub type Ino = u8;
/// What the record's UUID is to the model: a number, new for every hold.
pub type Owner = u8;

/// An open file description: what the kernel gives a `flock` to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ofd {
    /// The lock file's, opened by the acquire that began with this owner. It survives hand-overs.
    Turn(Owner),
    /// The session file's, opened by this thread for one section.
    Data(Tid),
    /// The new session file's, opened by the thread that rewrites.
    New(Tid),
    /// The lock file's, opened by a keeper or a sweep.
    Keeper(Tid),
    /// The session file's, opened by a program that may only read it, and keeps it locked.
    Reader,
}

/// What a reader of a lock file sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// Nothing yet: made by this foreign thread, which has not written.
    Empty(Tid),
    /// Malformed: our kind is rewriting it, or died while it did.
    Spoiled,
    /// Ours.
    Owner(Owner),
    /// The record of a program that takes no kernel lock.
    Foreign(Tid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LockFile {
    pub flock: Option<Ofd>,
    pub record: Record,
    /// Has it a second name, as in a snapshot?
    pub linked: bool,
}

/// One line, by the thread and operation that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub id: u8,
    pub whole: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    pub flock: Option<Ofd>,
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fs {
    pub lock_path: Option<Ino>,
    pub session_path: Option<Ino>,
    pub locks: Vec<Option<LockFile>>,
    pub sessions: Vec<Option<Session>>,
}

/// Puts a new inode where the lowest number is free: a number is used again as soon as nothing
/// keeps the old inode.
fn place<T>(table: &mut Vec<Option<T>>, it: T) -> Ino {
    let at = table.iter().position(Option::is_none).unwrap_or(table.len());
    if at == table.len() {
        table.push(None);
    }
    table[at] = Some(it);
    Ino::try_from(at).unwrap()
}

/// Forgets inodes without a name and without a descriptor, so that equal worlds look equal.
fn forget<T>(table: &mut Vec<Option<T>>, used: impl Fn(Ino) -> bool) {
    for (at, slot) in table.iter_mut().enumerate() {
        if !used(Ino::try_from(at).unwrap()) {
            *slot = None;
        }
    }
    while table.last().is_some_and(Option::is_none) {
        table.pop();
    }
}

impl Fs {
    pub fn new_lock(&mut self, flock: Option<Ofd>, record: Record) -> Ino {
        place(&mut self.locks, LockFile { flock, record, linked: false })
    }

    pub fn new_session(&mut self, lines: Vec<Line>) -> Ino {
        place(&mut self.sessions, Session { flock: None, lines })
    }

    pub fn lock(&self, ino: Ino) -> &LockFile {
        self.locks[usize::from(ino)].as_ref().unwrap()
    }

    pub fn lock_mut(&mut self, ino: Ino) -> &mut LockFile {
        self.locks[usize::from(ino)].as_mut().unwrap()
    }

    pub fn session(&self, ino: Ino) -> &Session {
        self.sessions[usize::from(ino)].as_ref().unwrap()
    }

    pub fn session_mut(&mut self, ino: Ino) -> &mut Session {
        self.sessions[usize::from(ino)].as_mut().unwrap()
    }

    /// The record that somebody who opens the lock path now would read.
    pub fn named_record(&self) -> Option<Record> {
        self.lock_path.map(|ino| self.lock(ino).record)
    }

    /// `LOCK_UN`, or the last close of this description.
    pub fn unlock(&mut self, gone: impl Fn(Ofd) -> bool) {
        for file in self.locks.iter_mut().flatten() {
            file.flock = file.flock.filter(|&ofd| !gone(ofd));
        }
        for file in self.sessions.iter_mut().flatten() {
            file.flock = file.flock.filter(|&ofd| !gone(ofd));
        }
    }

    pub fn forget_locks(&mut self, used: impl Fn(Ino) -> bool) {
        let named = self.lock_path;
        forget(&mut self.locks, |ino| named == Some(ino) || used(ino));
    }

    pub fn forget_sessions(&mut self, used: impl Fn(Ino) -> bool) {
        let named = self.session_path;
        forget(&mut self.sessions, |ino| named == Some(ino) || used(ino));
    }

    /// Appends a line, behind a newline if the tail is torn and `seal` is set.
    pub fn write_line(&mut self, ino: Ino, id: u8, whole: bool, seal: bool) {
        let lines = &mut self.session_mut(ino).lines;
        let torn_tail = lines.last().is_some_and(|last| !last.whole);
        // Glued to a torn tail, a line is no line.
        let whole = whole && (seal || !torn_tail);
        lines.push(Line { id, whole });
    }
}
