//! The server: files, their names, and the locks that it has granted (RFC 8881).

use super::super::state::Set;

pub type Host = u8;
pub type Tid = u8;
pub type Ino = u8;
/// What the record's UUID is to the model: a number, new for every hold.
pub type Owner = u8;

/// The state id of a lock: to whom it was granted, and in which era of the host's lease. After the
/// lease has run out, another era begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateId {
    pub host: Host,
    pub tid: Tid,
    pub era: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LockFile {
    pub lock: Option<StateId>,
    pub record: Owner,
    /// Has it still the temporary name under which it was made?
    pub temporary: bool,
    /// Has it a name that a client gave it when it was to remove one by which it had it open?
    pub silly: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    pub lock: Option<StateId>,
    /// Each by the thread and operation that wrote it.
    pub lines: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Server {
    pub lock_path: Option<Ino>,
    pub session_path: Option<Ino>,
    pub locks: Vec<Option<LockFile>>,
    pub sessions: Vec<Option<Session>>,
    /// Of each host.
    pub eras: Vec<u8>,
    /// Was it started anew, and grants no new locks yet?
    pub grace: bool,
    /// Hosts that have not reclaimed their locks since that start.
    pub unclaimed: Set,
}

fn place<T>(table: &mut Vec<Option<T>>, it: T) -> Ino {
    let at = table.iter().position(Option::is_none).unwrap_or(table.len());
    if at == table.len() {
        table.push(None);
    }
    table[at] = Some(it);
    Ino::try_from(at).unwrap()
}

/// Forgets files without a name that nobody knows, so that equal worlds look equal.
fn forget<T>(table: &mut Vec<Option<T>>, known: impl Fn(Ino, &T) -> bool) {
    for (at, slot) in table.iter_mut().enumerate() {
        let ino = Ino::try_from(at).unwrap();
        if slot.as_ref().is_some_and(|file| !known(ino, file)) {
            *slot = None;
        }
    }
    while table.last().is_some_and(Option::is_none) {
        table.pop();
    }
}

impl Server {
    pub fn new_lock(&mut self, record: Owner) -> Ino {
        place(&mut self.locks, LockFile { lock: None, record, temporary: true, silly: false })
    }

    pub fn new_session(&mut self, lines: Vec<u8>) -> Ino {
        place(&mut self.sessions, Session { lock: None, lines })
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

    /// Gives up all locks for which this holds.
    pub fn unlock(&mut self, gone: impl Fn(StateId) -> bool) {
        for file in self.locks.iter_mut().flatten() {
            file.lock = file.lock.filter(|&id| !gone(id));
        }
        for file in self.sessions.iter_mut().flatten() {
            file.lock = file.lock.filter(|&id| !gone(id));
        }
    }

    /// The lease of this host has run out.
    pub fn expire(&mut self, host: Host) {
        self.eras[usize::from(host)] += 1;
        self.unlock(|id| id.host == host);
    }

    pub fn forget(&mut self, lock: impl Fn(Ino) -> bool, session: impl Fn(Ino) -> bool) {
        let (lock_path, session_path) = (self.lock_path, self.session_path);
        forget(&mut self.locks, |ino, file| {
            lock_path == Some(ino) || file.lock.is_some() || lock(ino)
        });
        forget(&mut self.sessions, |ino, file| {
            session_path == Some(ino) || file.lock.is_some() || session(ino)
        });
    }
}
