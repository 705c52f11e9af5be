//! The reference model: what each step does, and what it answers.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;
use uuid::Uuid;

use super::protocol::{Answer, What};
use super::session::{Appended, Lock, Session, lines};
use super::step::{Act, Step, possible};

#[derive(Debug, Clone)]
pub struct State {
    pub sessions: Vec<Session>,
    /// Number of lines that were written, or begun.
    count: u64,
    /// What the latest step asks its actor for, and the answer that must come.
    pub asked: Option<(What, Expected)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Held,
    Is(Answer),
    /// For this cause, if there is one to tell.
    Lost(Option<&'static str>),
    /// The turn had been lost, but the actor need not have noticed.
    LostOrDone,
    Failed(&'static str),
    /// Anything but a failure.
    Any,
}

pub struct Model;

impl ReferenceStateMachine for Model {
    type State = State;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<State> {
        (1_usize..=3)
            .prop_map(|sessions| State {
                sessions: vec![Session::new(); sessions],
                count: 0,
                asked: None,
            })
            .boxed()
    }

    fn transitions(state: &State) -> BoxedStrategy<Step> {
        Union::new_weighted(
            possible(state).into_iter().map(|(weight, step)| (weight, Just(step))).collect(),
        )
        .boxed()
    }

    fn preconditions(state: &State, step: &Step) -> bool {
        step.applies(state)
    }

    fn apply(mut state: State, step: &Step) -> State {
        state.asked = state.go(*step);
        state
    }
}

impl State {
    /// The next numbers, one for each line.
    fn numbers(&mut self, count: u8) -> Vec<u64> {
        let first = self.count + 1;
        self.count += u64::from(count);
        (first..=self.count).collect()
    }

    /// Whether the step would make the file as long again as what a holder had seen before it was
    /// cut. That an append does not notice.
    pub fn hides_a_change(&self, step: Step) -> bool {
        let mut after = self.clone();
        after.go(step);
        after.sessions[step.session].is_changed_unnoticed()
    }

    fn go(&mut self, Step { actor, session: at, act }: Step) -> Option<(What, Expected)> {
        let numbers = match act {
            Act::Append(count) | Act::Rewrite(count) | Act::RewriteFrom(count) => {
                self.numbers(count)
            }
            Act::AppendMade | Act::PostMade | Act::Renew | Act::Archive => self.numbers(1),
            Act::Post | Act::Scrawl(_) | Act::Replace => self.numbers(1),
            _ => Vec::new(),
        };
        if let Act::Kill = act {
            self.sessions.iter_mut().for_each(|session| session.kill(actor));
            return None;
        }
        if let Act::Sweep = act {
            self.sessions.iter_mut().for_each(Session::clear);
            return Some((What::Sweep, Expected::Any));
        }
        let session = &mut self.sessions[at];
        let lost = session.turn_of(actor).is_some_and(|turn| turn.lost);
        let cause = || match session.lock {
            Lock::Absent => Some("removed"),
            Lock::Held => Some("replaced"),
            Lock::Stale => None,
        };
        Some(match act {
            Act::Try | Act::Acquire => {
                let open = session.is_open_to(actor);
                if open {
                    session.take(actor);
                }
                session.waited |= !open && act == Act::Acquire;
                let what = if act == Act::Try { What::Try } else { What::Acquire(3) };
                (what, if open { Expected::Held } else { Expected::Is(Answer::Busy) })
            }
            Act::Wait => {
                session.wait(actor);
                (What::Wait, Expected::Is(Answer::Done))
            }
            Act::Cancel => {
                session.waiter = None;
                (What::Cancel, Expected::Is(Answer::Done))
            }
            Act::Post => {
                let posted = session.post(&numbers);
                (What::Post(numbers[0]), appended(posted))
            }
            Act::PostMade => {
                let line = session.made(numbers[0]);
                (What::PostMade(numbers[0]), appended(session.post_lines(&line)))
            }
            Act::Note => {
                session.note(actor);
                (What::Note, Expected::Is(Answer::Done))
            }
            Act::Release => {
                let expected = match lost {
                    false => Expected::Is(Answer::Done),
                    true if session.waited => Expected::LostOrDone,
                    true => Expected::Lost(cause()),
                };
                session.let_go(actor);
                (What::Release, expected)
            }
            Act::Drop => {
                session.let_go(actor);
                (What::Drop, Expected::Is(Answer::Done))
            }
            Act::Read => (What::Read, Expected::Is(Answer::Lines(session.read(actor)))),
            Act::Lost if !lost => (What::Lost, Expected::Is(Answer::NotLost)),
            Act::Lost => (What::Lost, Expected::Lost(cause())),
            Act::Append(_) if lost => (What::Append(numbers), Expected::Lost(cause())),
            Act::Rewrite(_) if lost => (What::Rewrite(numbers), Expected::Lost(cause())),
            Act::AppendMade if lost => (What::AppendMade(numbers[0]), Expected::Lost(cause())),
            Act::RewriteFrom(_) if lost => (What::RewriteFrom(numbers), Expected::Lost(cause())),
            Act::Renew | Act::Archive if lost => (renew(act, numbers[0]), Expected::Lost(cause())),
            Act::Repair if lost => (What::Repair, Expected::Lost(cause())),
            Act::Restore if lost => (What::Restore, Expected::Lost(cause())),
            Act::Append(_) if session.is_changed(actor, false) => {
                (What::Append(numbers), Expected::Failed("changed"))
            }
            Act::Rewrite(_) if session.is_changed(actor, true) => {
                (What::Rewrite(numbers), Expected::Failed("changed"))
            }
            Act::AppendMade if session.is_changed(actor, false) => {
                (What::AppendMade(numbers[0]), Expected::Failed("changed"))
            }
            Act::RewriteFrom(_)
                if session.is_changed(actor, true) || session.is_note_changed(actor) =>
            {
                (What::RewriteFrom(numbers), Expected::Failed("changed"))
            }
            Act::Renew | Act::Archive if session.is_changed(actor, true) => {
                (renew(act, numbers[0]), Expected::Failed("changed"))
            }
            Act::Repair if session.is_changed(actor, true) => {
                (What::Repair, Expected::Failed("changed"))
            }
            Act::Restore if session.is_changed(actor, true) => {
                (What::Restore, Expected::Failed("changed"))
            }
            Act::Append(_) => {
                let done = session.append(actor, &lines(&numbers));
                (What::Append(numbers), appended(done))
            }
            Act::AppendMade => {
                let line = session.made(numbers[0]);
                (What::AppendMade(numbers[0]), appended(session.append(actor, &line)))
            }
            Act::RewriteFrom(_) => {
                let carried = session.rewrite_from(actor, &numbers) as u64;
                let bytes = session.bytes.len() as u64;
                let rewritten = Answer::Rewritten { bytes, carried };
                (What::RewriteFrom(numbers), Expected::Is(rewritten))
            }
            Act::Renew | Act::Archive => {
                session.renew(actor, lines(&numbers));
                let begun = Appended { offset: 0, intervening: 0, sealed: false };
                (renew(act, numbers[0]), appended(begun))
            }
            Act::Rewrite(_) if !session.must_read_first(actor) && session.goes_on(actor) => {
                (What::Rewrite(numbers), Expected::Failed("changed"))
            }
            Act::Rewrite(_) => {
                let done = session.rewrite(actor, &numbers);
                let bytes = session.bytes.len() as u64;
                let expected = match done {
                    Some(carried) => {
                        Expected::Is(Answer::Rewritten { bytes, carried: carried as u64 })
                    }
                    None => Expected::Failed("read-first"),
                };
                (What::Rewrite(numbers), expected)
            }
            Act::Repair => (What::Repair, Expected::Is(Answer::Repaired(session.repair(actor)))),
            Act::Restore if session.restore(actor) => (What::Restore, Expected::Is(Answer::Done)),
            Act::Restore => (What::Restore, Expected::Failed("cannot-restore")),
            Act::Revoke => {
                session.rob();
                (What::Revoke(Uuid::nil()), Expected::Is(Answer::Done))
            }
            Act::RevokeNobody => (What::Revoke(Uuid::nil()), Expected::Failed("not-the-holder")),
            Act::Status => (What::Status, Expected::Any),
            Act::Leftover => {
                let free = session.holder().is_none();
                if free {
                    session.clear();
                }
                (What::RemoveLeftover("".into()), Expected::Is(Answer::Removed(free)))
            }
            Act::Rm => {
                session.rob();
                return None;
            }
            Act::Scrawl(scrawl) => {
                session.bytes.extend(scrawl.bytes(numbers[0]));
                return None;
            }
            Act::Replace => {
                session.put(format!("{{\"f\":{},\"compacted\":true}}\n", numbers[0]).into());
                return None;
            }
            Act::Cut => {
                session.cut();
                return None;
            }
            Act::Kill | Act::Sweep => unreachable!("these are for all sessions"),
        })
    }
}

/// The world says where the archive is.
fn renew(act: Act, number: u64) -> What {
    What::Renew((act == Act::Archive).then(PathBuf::new), number)
}

fn appended(Appended { offset, intervening, sealed }: Appended) -> Expected {
    Expected::Is(Answer::Appended {
        offset: offset as u64,
        intervening: intervening as u64,
        sealed,
    })
}
