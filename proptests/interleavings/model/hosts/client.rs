//! What a host knows: a copy of what the server told it, which may be old.

use super::server::{Host, Ino, Owner};
use super::state::State;
use super::world::World;

/// What a host believes that a name means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Name {
    /// It has to ask.
    #[default]
    Unknown,
    Of(Ino),
    Nothing,
}

impl Name {
    pub fn is(file: Option<Ino>) -> Self {
        file.map_or(Self::Nothing, Self::Of)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    /// The era of its lease, as far as it knows.
    pub era: u8,
    pub lock_name: Name,
    pub session_name: Name,
    /// Records that it has read or written, by lock file.
    pub records: Vec<(Ino, Owner)>,
}

impl Client {
    pub fn record(&self, file: Ino) -> Option<Owner> {
        self.records.iter().find(|(ino, _)| *ino == file).map(|(_, record)| *record)
    }

    pub fn keep_record(&mut self, file: Ino, record: Owner) {
        self.drop_record(file);
        self.records.push((file, record));
        self.records.sort_unstable();
    }

    pub fn drop_record(&mut self, file: Ino) {
        self.records.retain(|(ino, _)| *ino != file);
    }

    pub fn knows_lock(&self, file: Ino) -> bool {
        self.lock_name == Name::Of(file) || self.record(file).is_some()
    }
}

impl World {
    /// The attributes of the directory are fetched (I18): a name that was changed since is looked
    /// up anew.
    pub fn fetch(&self, s: &mut State, host: Host) {
        let (lock, session) = (s.server.lock_path, s.server.session_path);
        let client = s.client_mut(host);
        if client.lock_name != Name::is(lock) {
            client.lock_name = Name::Unknown;
        }
        if client.session_name != Name::is(session) {
            client.session_name = Name::Unknown;
        }
    }

    /// What the lock path names, as far as this host knows; otherwise the server is asked.
    pub fn look_up_lock(&self, s: &mut State, host: Host) -> Option<Ino> {
        let named = s.server.lock_path;
        match s.client(host).lock_name {
            Name::Of(ino) => Some(ino),
            Name::Nothing => None,
            Name::Unknown => {
                s.client_mut(host).lock_name = Name::is(named);
                named
            }
        }
    }

    /// The same for the session.
    pub fn look_up_session(&self, s: &mut State, host: Host) -> Option<Ino> {
        let named = s.server.session_path;
        match s.client(host).session_name {
            Name::Of(ino) => Some(ino),
            Name::Nothing => None,
            Name::Unknown => {
                s.client_mut(host).session_name = Name::is(named);
                named
            }
        }
    }

    /// Opening a file by a name that is known to exist asks the server which file that is.
    pub fn open_lock_file(&self, s: &mut State, host: Host) -> Option<Ino> {
        if s.client(host).lock_name == Name::Nothing {
            return None;
        }
        s.client_mut(host).lock_name = Name::Unknown;
        self.look_up_lock(s, host)
    }
}
