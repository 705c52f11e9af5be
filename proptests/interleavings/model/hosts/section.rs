//! The data lock: open the session file, lock it, compare (I3), and unlock it at the end.

use super::server::{StateId, Tid};
use super::state::{After, Event, Next, Pc, State, Then};
use super::world::World;

impl World {
    /// Enters a section. Where the session file stays the same, its name is not looked at, to have
    /// fewer states.
    pub fn enter(&self, then: Then) -> Pc {
        if self.session_moves() {
            self.fetching(Next::OpenSession(then))
        } else {
            Pc::LockData(then)
        }
    }

    /// The next step, which looks at a name: the directory's attributes come first.
    pub fn fetching(&self, next: Next) -> Pc {
        if self.bugs.names_not_fetched { Self::fetched(next) } else { Pc::Fetch(next) }
    }

    pub fn fetched(next: Next) -> Pc {
        match next {
            Next::OpenSession(then) => Pc::OpenSession(then),
            Next::CompareSession(then) => Pc::CompareSession(then),
            Next::OpenLock => Pc::OpenLock,
            Next::TryLeft => Pc::TryLeft,
            Next::CompareLock(then) => Pc::CompareLock(then),
            Next::Confirm => Pc::Confirm,
            Next::RevokeLook => Pc::RevokeLook,
        }
    }

    /// Opens the session file, or makes it.
    pub fn open_session(&self, s: &mut State, tid: Tid, then: Then) {
        let host = self.host(tid);
        let found = self.look_up_session(s, host).or(s.server.session_path);
        let made = found.is_none();
        let file = found.unwrap_or_else(|| s.server.new_session(Vec::new()));
        if made {
            s.server.session_path = Some(file);
        }
        s.client_mut(host).session_name = super::client::Name::Of(file);
        let thread = s.thread_mut(tid);
        (thread.data, thread.made) = (Some(file), made);
        s.go(tid, Pc::LockData(then));
    }

    pub fn new_id(&self, s: &State, tid: Tid) -> StateId {
        let host = self.host(tid);
        StateId { host, tid, era: s.server.eras[usize::from(host)] }
    }

    pub fn lock_data(&self, s: &mut State, tid: Tid, then: Then) {
        let file = s.thread(tid).data.or(s.server.session_path).unwrap();
        let id = self.new_id(s, tid);
        s.server.session_mut(file).lock = Some(id);
        let end = u8::try_from(s.server.session(file).lines.len()).unwrap();
        let thread = s.thread_mut(tid);
        (thread.data, thread.data_id, thread.end) = (Some(file), Some(id), end);
        let pc = if self.session_moves() {
            self.fetching(Next::CompareSession(then))
        } else {
            self.inside(then)
        };
        s.go(tid, pc);
    }

    pub fn compare_session(&self, s: &mut State, tid: Tid, then: Then) {
        if self.look_up_session(s, self.host(tid)) == s.thread(tid).data {
            // Whoever takes or holds a turn does not fetch once more.
            let pc = match then {
                Then::Append | Then::Release => Self::fetched(Next::CompareLock(then)),
                Then::Resume => Self::fetched(Next::TryLeft),
                _ => self.inside(then),
            };
            return s.go(tid, pc);
        }
        self.saw(Event::Restarted);
        Self::unlock_data(s, tid);
        s.go(tid, self.enter(then));
    }

    /// Is the data lock still this thread's at the server?
    pub fn has_data_lock(&self, s: &State, tid: Tid) -> bool {
        let thread = s.thread(tid);
        thread.data.is_some_and(|file| s.server.session(file).lock == thread.data_id)
    }

    /// The first step inside.
    fn inside(&self, then: Then) -> Pc {
        self.fetching(match then {
            Then::Look => Next::OpenLock,
            Then::Resume => Next::TryLeft,
            Then::Revoke => Next::RevokeLook,
            _ => Next::CompareLock(then),
        })
    }

    /// Closing a file lets go of its lock, if the server has not given that up.
    fn unlock_data(s: &mut State, tid: Tid) {
        let thread = s.thread_mut(tid);
        let (file, id) = (thread.data.take(), thread.data_id.take());
        thread.made = false;
        thread.end = 0;
        if let Some(file) = file
            && s.server.session(file).lock == id
        {
            s.server.session_mut(file).lock = None;
        }
    }

    pub fn unlock(&self, s: &mut State, tid: Tid, after: After) {
        Self::unlock_data(s, tid);
        match after {
            After::NextOp => s.next_op(self, tid),
            After::Wait => s.go(tid, Pc::Wait),
            After::Lost => {
                self.saw(Event::Refused);
                s.next_op(self, tid);
            }
            After::Again => s.begin(self, tid),
            After::Turn => {
                s.thread_mut(tid).posts_in_turn = true;
                s.begin(self, tid);
            }
        }
    }
}
