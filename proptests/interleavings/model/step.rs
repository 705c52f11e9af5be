//! Which steps are possible, and what each does. One step is one system call.

use stateright::{Model, Property};

use super::env::Fault;
use super::fs::Tid;
use super::properties;
use super::state::{Set, State};
use super::thread::{Pc, Then};
use super::world::World;

/// Where a step can go more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Go,
    Granted,
    Watch,
    /// Let go of the turn lock during a wait for the data lock.
    LetGo,
    GiveUp,
    HandOver(Tid),
    Unlink,
    Leave,
    /// Let go, but keep the lock for the next turn of this process.
    Keep,
    /// Go on where the last turn of this process ended.
    GoOn,
    Short,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Step(Tid, Pc, Choice),
    Fault(Fault),
}

impl World {
    /// What the thread can do now; nothing while it blocks.
    pub fn choices(&self, s: &State, tid: Tid) -> Vec<Choice> {
        let pid = self.pid(tid);
        if !s.alive.has(pid) || s.stopped.has(pid) {
            return Vec::new();
        }
        let thread = s.thread(tid);
        match thread.pc {
            Pc::Idle if thread.next.is_some() => vec![Choice::Go],
            Pc::Idle | Pc::Done | Pc::Dead => Vec::new(),
            Pc::Door => self.at_the_door(s, tid),
            Pc::Keeping if self.bugs.keeps_for_good => Vec::new(),
            Pc::Lock(then) => self.waiting_for_data(s, tid, then),
            Pc::LockMade => {
                let free = s.fs.lock(thread.file.unwrap()).flock.is_none();
                free.then_some(Choice::Go).into_iter().collect()
            }
            Pc::Wait => self.waiting(s, tid),
            Pc::Parked => {
                let free = s.fs.lock(thread.file.unwrap()).flock.is_none();
                free.then_some(Choice::Granted).into_iter().collect()
            }
            Pc::KeepRest => self.keeper_wakes(s, tid),
            Pc::Poll => self.or_give_up(thread.seen != Some(self.glimpse(s)), Choice::Go),
            Pc::ForeignPoll if thread.seen == Some(self.glimpse(s)) => Vec::new(),
            Pc::Choose => self.ways_to_release(s, tid),
            Pc::Write if s.budget.short > 0 => vec![Choice::Go, Choice::Short],
            _ => vec![Choice::Go],
        }
    }

    fn or_give_up(&self, ready: bool, choice: Choice) -> Vec<Choice> {
        let give_up = self.give_up.then_some(Choice::GiveUp);
        ready.then_some(choice).into_iter().chain(give_up).collect()
    }

    fn at_the_door(&self, s: &State, tid: Tid) -> Vec<Choice> {
        let free = s.door[usize::from(self.pid(tid))].is_none();
        let mut choices = self.or_give_up(free, Choice::Go);
        choices.extend((free && self.keeps(s, tid).is_some()).then_some(Choice::GoOn));
        choices
    }

    fn waiting(&self, s: &State, tid: Tid) -> Vec<Choice> {
        let wanted = s.thread(tid).file;
        let free = s.fs.lock(wanted.unwrap()).flock.is_none();
        let mut choices = self.or_give_up(free, Choice::Granted);
        let seen = s.fs.lock_path.is_some() || !self.bugs.watch_other_only;
        let watch = wanted != s.fs.lock_path && seen && !self.bugs.no_watch;
        if watch && self.notices(s, tid) {
            choices.push(Choice::Watch);
        }
        choices
    }

    /// Where nobody keeps the data lock for good, a waiter does not let go, to have fewer states.
    fn waiting_for_data(&self, s: &State, tid: Tid, then: Then) -> Vec<Choice> {
        let wanted = s.thread(tid).data;
        let free = s.fs.session(wanted.unwrap()).flock.is_none();
        let mut choices: Vec<_> = free.then_some(Choice::Go).into_iter().collect();
        let watch = wanted != s.fs.session_path && !self.bugs.no_data_watch;
        choices.extend((watch && self.notices(s, tid)).then_some(Choice::Watch));
        let lets_go = !free && self.budget.reader > 0 && then == Then::Inode;
        choices.extend((lets_go && !self.bugs.no_data_watch).then_some(Choice::LetGo));
        choices
    }

    /// The watch looks for itself again and again, so that no notice that was lost matters.
    fn notices(&self, s: &State, tid: Tid) -> bool {
        !(self.bugs.watch_only_told && s.thread(tid).deaf)
    }

    fn ways_to_release(&self, s: &State, tid: Tid) -> Vec<Choice> {
        let mut choices = vec![Choice::Unlink, Choice::Leave];
        if s.thread(tid).turn.is_none() {
            return vec![Choice::Go];
        }
        let keeper = self.keeper_of(tid).filter(|&keeper| s.thread(keeper).pc == Pc::Idle);
        choices.extend(keeper.map(|_| Choice::Keep));
        for other in (0..).take(s.threads.len()) {
            if s.thread(other).pc == Pc::Door && self.pid(other) == self.pid(tid) {
                choices.push(Choice::HandOver(other));
            }
        }
        choices
    }

    fn run(&self, s: &mut State, tid: Tid, choice: Choice) {
        if choice == Choice::GiveUp {
            return self.give_up(s, tid);
        }
        match s.thread(tid).pc {
            Pc::Done | Pc::Dead => {}
            Pc::Idle => self.look_after(s, tid),
            Pc::Open(then) => self.open_session(s, tid, then),
            Pc::Lock(then) if choice == Choice::Watch => self.watch_data(s, tid, then),
            Pc::Lock(_) if choice == Choice::LetGo => self.let_go_of_wanted(s, tid),
            Pc::Lock(then) => self.lock_session(s, tid, then),
            Pc::Compare(then) => self.compare_session(s, tid, then),
            Pc::Unlock(after) => self.unlock_session(s, tid, after),
            Pc::Door if choice == Choice::GoOn => self.go_on(s, tid),
            Pc::Door => self.door(s, tid),
            Pc::LookOutside => self.look_outside(s, tid),
            Pc::PublishOutside => self.publish_outside(s, tid),
            Pc::Look => self.look(s, tid),
            Pc::TryLock => self.try_lock(s, tid),
            Pc::Inode => self.inode(s, tid),
            Pc::Judge => self.judge(s, tid),
            Pc::Spoil => self.spoil(s, tid),
            Pc::Restore => self.restore(s, tid),
            Pc::Exchange => self.exchange(s, tid),
            Pc::Exchanged => self.exchanged(s, tid),
            Pc::ExchangedLook => self.exchanged_look(s, tid),
            Pc::ExchangeBack => self.exchange_back(s, tid),
            Pc::RemoveDead => self.remove_dead(s, tid),
            Pc::Publish => self.publish(s, tid),
            Pc::LockMade => self.lock_made(s, tid),
            Pc::WriteMade => self.write_made(s, tid),
            Pc::PutBack => self.put_back(s, tid),
            Pc::Wait if choice == Choice::Watch => self.watch(s, tid),
            Pc::Wait => self.granted(s, tid),
            Pc::Parked => self.granted_parked(s, tid),
            Pc::Unwanted => self.unwanted(s, tid),
            Pc::Poll => self.look_again(s, tid),
            Pc::Choose => self.choose(s, tid, choice),
            Pc::HandCheck => self.hand_check(s, tid),
            Pc::HandSpoil => self.hand_spoil(s, tid),
            Pc::HandRestore => self.hand_restore(s, tid),
            Pc::UnlinkCheck => self.unlink_check(s, tid),
            Pc::Unlink => self.unlink(s, tid),
            Pc::Disown => self.disown(s, tid),
            Pc::RemoveSession => self.remove_session(s, tid),
            Pc::LetGo => self.let_go(s, tid),
            Pc::Tell => self.tell(s, tid),
            _ => self.run_rest(s, tid, choice),
        }
    }

    fn run_rest(&self, s: &mut State, tid: Tid, choice: Choice) {
        match s.thread(tid).pc {
            Pc::FencePath => self.fence_path(s, tid),
            Pc::FenceRecord => self.fence_record(s, tid),
            Pc::Make => self.make(s, tid),
            Pc::Away => self.away(s, tid),
            Pc::Write => self.write(s, tid, choice),
            Pc::CutBack => self.cut_back(s, tid),
            Pc::CompareAgain => self.compare_again(s, tid),
            Pc::FenceAgain => self.fence_again(s, tid),
            Pc::PostedBorrowed => self.give_back_borrowed(s, tid),
            Pc::Snapshot => self.snapshot(s, tid),
            Pc::Carry => self.carry(s, tid),
            Pc::LockNew => self.lock_new(s, tid),
            Pc::Rename => self.rename(s, tid),
            Pc::UnlockNew => self.unlock_new(s, tid),
            Pc::Name => self.name(s, tid),
            Pc::RevokeCheck => self.revoke_check(s, tid),
            Pc::RevokeUnlink => self.revoke_unlink(s, tid),
            Pc::SweepOpen => self.sweep_open(s, tid),
            Pc::Keeping => self.end_keeping(s, tid),
            Pc::KeepRest => self.keep_again(s, tid),
            Pc::KeepTry => self.keep_try(s, tid),
            Pc::KeepCheck => self.keep_check(s, tid),
            Pc::KeepUnlink => self.keep_unlink(s, tid),
            Pc::KeepLetGo => self.keep_let_go(s, tid),
            Pc::ForeignCreate => self.foreign_create(s, tid),
            Pc::ForeignRead => self.foreign_read(s, tid),
            Pc::ForeignReclaim => self.foreign_reclaim(s, tid),
            Pc::ForeignPoll => self.foreign_look_again(s, tid),
            Pc::ForeignWrite => self.foreign_write(s, tid),
            Pc::ForeignOpen => self.foreign_open(s, tid),
            Pc::ForeignAppend => self.foreign_append(s, tid),
            Pc::ForeignLoad => self.foreign_load(s, tid),
            Pc::ForeignStore => self.foreign_store(s, tid),
            Pc::ForeignRemove => self.foreign_remove(s, tid),
            _ => {}
        }
    }

    pub fn any_step(&self, s: &State) -> bool {
        (0..).take(s.threads.len()).any(|tid| !self.choices(s, tid).is_empty())
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
        actions.extend(self.faults(s).into_iter().map(Action::Fault));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut s = last.clone();
        match action {
            Action::Step(tid, _, choice) => self.run(&mut s, tid, choice),
            Action::Fault(fault) => self.befall(&mut s, fault),
        }
        s.collect(self);
        Some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}
