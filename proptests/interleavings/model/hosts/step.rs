//! Which steps are possible, and what each does. One step is one request, or one look at a copy.

use stateright::{Model, Property};

use super::super::state::Set;
use super::client::Name;
use super::faults::Fault;
use super::properties;
use super::server::Tid;
use super::state::{Pc, State};
use super::world::World;

/// Where a step can go more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Go,
    Granted,
    Watch,
    Unsynced,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Step(Tid, Pc, Choice),
    Fault(Fault),
}

impl World {
    /// Is the server there for this thread's host?
    pub fn can_ask(&self, s: &State, tid: Tid) -> bool {
        let host = self.host(tid);
        Self::is_reachable(s, host) && !s.server.unclaimed.has(host)
    }

    /// Does the host do this by itself?
    fn is_local(&self, s: &State, tid: Tid) -> bool {
        let (thread, client) = (s.thread(tid), s.client(self.host(tid)));
        match thread.pc {
            Pc::Write => true,
            Pc::Flock(_) => self.delegated,
            Pc::Record(_) => thread.file.is_some_and(|file| client.record(file).is_some()),
            Pc::CompareLock(_) => client.lock_name != Name::Unknown,
            Pc::OpenLock => client.lock_name == Name::Nothing,
            Pc::CompareSession(_) => client.session_name != Name::Unknown,
            Pc::Confirm => {
                client.lock_name != Name::Unknown && client.session_name != Name::Unknown
            }
            _ => false,
        }
    }

    pub fn choices(&self, s: &State, tid: Tid) -> Vec<Choice> {
        let thread = s.thread(tid);
        let lock = || thread.file.and_then(|file| s.server.lock(file).lock);
        if matches!(thread.pc, Pc::Done | Pc::Dead) {
            return Vec::new();
        }
        if !self.is_local(s, tid) && !self.can_ask(s, tid) {
            return Vec::new();
        }
        let if_so = |so: bool, choice| so.then_some(choice).into_iter().collect();
        match thread.pc {
            Pc::LockData(_) => {
                let file = thread.data.or(s.server.session_path).unwrap();
                if_so(s.server.session(file).lock.is_none() && !s.server.grace, Choice::Go)
            }
            Pc::Try | Pc::TryLeft | Pc::TryOwn | Pc::LockToCut => {
                if_so(!s.server.grace, Choice::Go)
            }
            Pc::Flock(_) => if_so(self.delegated || !s.server.grace, Choice::Go),
            Pc::Wait => {
                let mut choices = Vec::new();
                if lock().is_none() && !s.server.grace {
                    choices.push(Choice::Granted);
                }
                if s.server.lock_path != thread.file {
                    choices.push(Choice::Watch);
                }
                choices
            }
            Pc::Send if s.budget.unsynced > 0 => vec![Choice::Go, Choice::Unsynced],
            _ => vec![Choice::Go],
        }
    }

    fn run(&self, s: &mut State, tid: Tid, choice: Choice) {
        if !self.is_local(s, tid) {
            // With every answer the host learns of its lease.
            let host = self.host(tid);
            s.client_mut(host).era = s.server.eras[usize::from(host)];
        }
        match s.thread(tid).pc {
            Pc::Done | Pc::Dead => {}
            Pc::Fetch(next) => {
                self.fetch(s, self.host(tid));
                s.go(tid, Self::fetched(next));
            }
            Pc::OpenSession(then) => self.open_session(s, tid, then),
            Pc::LockData(then) => self.lock_data(s, tid, then),
            Pc::CompareSession(then) => self.compare_session(s, tid, then),
            Pc::OpenLock => self.open_lock(s, tid),
            Pc::Create => self.create(s, tid),
            Pc::Link => self.link(s, tid),
            Pc::OpenOwn => self.open_own(s, tid),
            Pc::TryOwn => self.try_own(s, tid),
            Pc::RemoveTemporary => self.remove_temporary(s, tid),
            Pc::Try => self.try_lock(s, tid),
            Pc::TryLeft => self.try_left(s, tid),
            Pc::Wait if choice == Choice::Watch => self.watch(s, tid),
            Pc::Wait => self.granted(s, tid),
            Pc::CompareLock(then) => self.compare_lock(s, tid, then),
            Pc::RemoveNames => self.remove_names(s, tid),
            Pc::TakeOver => self.take_over(s, tid),
            Pc::Flock(then) => self.flock(s, tid, then),
            Pc::Record(then) => self.record(s, tid, then),
            Pc::Write => self.write(s, tid),
            Pc::Send => self.send(s, tid, choice != Choice::Unsynced),
            Pc::LockToCut => self.lock_to_cut(s, tid),
            Pc::Cut => self.cut(s, tid),
            Pc::Confirm => self.confirm(s, tid),
            Pc::Carry => self.carry(s, tid),
            Pc::RenameAside => self.rename_aside(s, tid),
            Pc::Rename => self.rename(s, tid),
            Pc::RemoveLock => self.remove_lock(s, tid),
            Pc::LetGo => self.let_go(s, tid),
            Pc::Leave => self.leave(s, tid),
            Pc::NameOwner => self.name_owner(s, tid),
            Pc::RevokeLook => self.revoke_look(s, tid),
            Pc::RevokeRemove => self.revoke_remove(s, tid),
            Pc::Unlock(after) => self.unlock(s, tid, after),
        }
    }

    /// Can anything happen that does not have to be somebody's fault?
    pub fn goes_on(&self, s: &State) -> bool {
        let steps = |tid: Tid| !self.choices(s, tid).is_empty();
        !self.faults(s).1.is_empty() || (0..).take(s.threads.len()).any(steps)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        // What comes after something went wrong is of no interest.
        if s.wrong != Set::default() {
            return;
        }
        for tid in (0..).take(s.threads.len()) {
            let pc = s.thread(tid).pc;
            let choices = self.choices(s, tid).into_iter();
            actions.extend(choices.map(|choice| Action::Step(tid, pc, choice)));
        }
        let (may, will) = self.faults(s);
        actions.extend(may.into_iter().chain(will).map(Action::Fault));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut s = last.clone();
        match action {
            Action::Step(tid, _, choice) => self.run(&mut s, tid, choice),
            Action::Fault(fault) => self.befall(&mut s, fault),
        }
        s.collect();
        Some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}
