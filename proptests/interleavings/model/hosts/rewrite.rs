//! A rewrite (I11). A client renames what is to be replaced, since it is open (I20).

use super::client::Name;
use super::server::Tid;
use super::state::{After, Event, Pc, State};
use super::world::World;

impl World {
    /// The new file is complete, synced and locked.
    pub fn carry(&self, s: &mut State, tid: Tid) {
        let lines = s.server.session(s.thread(tid).data.unwrap()).lines.clone();
        let fresh = s.server.new_session(lines);
        let id = self.new_id(s, tid);
        s.server.session_mut(fresh).lock = Some(id);
        s.thread_mut(tid).fresh = Some(fresh);
        s.go(tid, Pc::RenameAside);
    }

    /// No state id goes with a rename.
    pub fn rename_aside(&self, s: &mut State, tid: Tid) {
        s.server.session_path = None;
        s.client_mut(self.host(tid)).session_name = Name::Nothing;
        s.go(tid, Pc::Rename);
    }

    pub fn rename(&self, s: &mut State, tid: Tid) {
        self.watch_write(s, tid);
        let (old, fresh) = (s.thread(tid).data.unwrap(), s.thread(tid).fresh.unwrap());
        s.server.session_path = Some(fresh);
        s.client_mut(self.host(tid)).session_name = Name::Of(fresh);
        if s.server.session(old).lock == s.thread(tid).data_id {
            s.server.session_mut(old).lock = None;
        }
        let id = s.server.session(fresh).lock;
        let thread = s.thread_mut(tid);
        (thread.data, thread.data_id, thread.fresh) = (Some(fresh), id, None);
        self.saw(Event::Rewritten);
        s.go(tid, Pc::Unlock(After::NextOp));
    }
}
