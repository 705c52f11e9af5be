//! Real files and processes, with the library; and what is checked after every step.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use proptest_state_machine::StateMachineTest;
use turnlock_testing::child::Child;
use turnlock_testing::wait::eventually_within;
use turnlock_testing::{Room, room};
use uuid::Uuid;

use super::actor::{Actor, DEADLINE};
use super::child::child;
use super::model::{Expected, Model, State};
use super::protocol::{Answer, Ask, What};
use super::session::{Lock, Session};
use super::step::{ACTORS, Act, Step};

pub struct World {
    /// Killed, and gone, before the directory is.
    actors: Vec<Option<Who>>,
    room: Room,
    /// Who has a turn object, on which session, and its owner.
    owners: HashMap<(usize, usize), Uuid>,
    waiting: HashSet<(usize, usize)>,
}

enum Who {
    Here(Box<Actor>),
    Child(Child<Ask, Answer>),
}

impl StateMachineTest for World {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(state: &State) -> Self {
        let actors = (0..ACTORS).map(|_| None).collect();
        let world = Self { actors, room: room(), owners: HashMap::new(), waiting: HashSet::new() };
        for (at, session) in state.sessions.iter().enumerate() {
            fs::write(world.session(at), &session.bytes).unwrap();
        }
        world
    }

    fn apply(mut world: Self, state: &State, step: Step) -> Self {
        world.go(state, step);
        world.join(state);
        world
    }

    fn check_invariants(world: &Self, state: &State) {
        for (at, session) in state.sessions.iter().enumerate() {
            world.check(at, session);
        }
        until("there are no stray files", || world.names().is_subset(&world.expected_names(state)));
    }

    fn teardown(mut world: Self, state: State) {
        world.actors.clear();
        Actor::new(false).obey(Ask { session: world.session(0), what: What::Sweep });
        let locks = |names: &BTreeSet<String>| names.iter().any(|name| name.ends_with(".lock"));
        until("nothing is left when all are gone", || !locks(&world.names()));
        assert!(world.names().is_subset(&world.expected_names(&state)));
    }
}

impl World {
    fn session(&self, at: usize) -> PathBuf {
        self.room.dir.join(format!("s{at}.jsonl"))
    }

    fn lock(&self, at: usize) -> PathBuf {
        self.room.dir.join(format!("s{at}.jsonl.lock"))
    }

    fn ask(&mut self, actor: usize, session: usize, what: What) -> Answer {
        let ask = Ask { session: self.session(session), what };
        let task = actor % 2 == 1;
        let who = self.actors[actor].get_or_insert_with(|| match actor {
            0 | 1 => Who::Here(Box::new(Actor::new(task))),
            _ => Who::Child(child(task)),
        });
        match who {
            Who::Here(actor) => actor.obey(ask),
            Who::Child(child) => child.ask(&ask),
        }
    }

    fn go(&mut self, state: &State, Step { actor, session: at, act }: Step) {
        let key = (actor, at);
        match act {
            Act::Kill => {
                self.actors[actor] = None;
                self.owners.retain(|(who, _), _| *who != actor);
                return self.waiting.retain(|(who, _)| *who != actor);
            }
            // It may be gone already.
            Act::Rm => return drop(fs::remove_file(self.lock(at))),
            // The model has written it already: appended, …
            Act::Scrawl(_) => {
                let before = fs::read(self.session(at)).unwrap();
                let mut file = fs::File::options().append(true).open(self.session(at)).unwrap();
                let written = state.sessions[at]
                    .bytes
                    .strip_prefix(&before[..])
                    .expect("nothing else is written");
                return std::io::Write::write_all(&mut file, written).unwrap();
            }
            // … or as another file.
            Act::Replace => {
                fs::write(self.room.dir.join("new"), &state.sessions[at].bytes).unwrap();
                return fs::rename(self.room.dir.join("new"), self.session(at)).unwrap();
            }
            Act::Cut => {
                let file = fs::File::options().write(true).open(self.session(at)).unwrap();
                return file.set_len(state.sessions[at].bytes.len() as u64).unwrap();
            }
            _ => {}
        }
        let (what, expected) = state.asked.clone().expect("an actor is asked");
        let what = match (act, what) {
            (Act::Revoke, _) => What::Revoke(self.owner_in_lock(at)),
            (Act::Leftover, _) => What::RemoveLeftover(self.leftover(at)),
            (Act::Archive, What::Renew(_, number)) => {
                What::Renew(Some(self.room.dir.join(format!("archive.{number}"))), number)
            }
            (_, what) => what,
        };
        let answer = self.answer(state, key, &what, &expected);
        assert!(expected.fits(&answer), "{answer:?} instead of {expected:?}, to {what:?}");
        match (answer, what) {
            (Answer::Held(owner), _) => drop(self.owners.insert(key, owner)),
            (_, What::Release | What::Drop) => drop(self.owners.remove(&key)),
            (_, What::Wait) => drop(self.waiting.insert(key)),
            (_, What::Cancel) => drop(self.waiting.remove(&key)),
            (_, What::RemoveLeftover(path)) => drop(fs::remove_file(path)),
            _ => {}
        }
    }

    /// Asks again where leftovers of a waiter or of a dead actor may be in the way for a moment.
    fn answer(
        &mut self,
        state: &State,
        (actor, at): (usize, usize),
        what: &What,
        expected: &Expected,
    ) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.ask(actor, at, what.clone());
            let late = match (what, expected) {
                (What::Sweep, _) => {
                    let gone = |(at, session): (usize, &Session)| {
                        session.lock != Lock::Absent || !self.lock(at).exists()
                    };
                    !state.sessions.iter().enumerate().all(gone)
                }
                (_, expected) => state.sessions[at].waited && expected.comes_later_than(&answer),
            };
            if !late || Instant::now() > deadline {
                return answer;
            }
            std::thread::yield_now();
        }
    }

    /// A waiter that, by the model, waits no more has the turn.
    fn join(&mut self, state: &State) {
        let waits = |(actor, at): &(usize, usize)| state.sessions[*at].waiter == Some(*actor);
        let called: Vec<_> = self.waiting.iter().copied().filter(|key| !waits(key)).collect();
        for (actor, at) in called {
            self.waiting.remove(&(actor, at));
            let Answer::Held(owner) = self.ask(actor, at, What::Joined) else {
                panic!("actor {actor} waits for session {at}, and does not get it")
            };
            self.owners.insert((actor, at), owner);
        }
    }

    /// Owner in the lock file, who must be one that the actors told of.
    fn owner_in_lock(&self, at: usize) -> Uuid {
        let record = fs::read(self.lock(at)).expect("a lock file");
        let owner = owner_in(&record).expect("an owner");
        assert!(self.owners.iter().any(|((_, session), told)| *session == at && *told == owner));
        owner
    }

    fn leftover(&self, at: usize) -> PathBuf {
        let path = self.room.dir.join(format!("s{at}.jsonl.rewrite-{}.tmp", Uuid::now_v7()));
        fs::write(&path, "{}\n").unwrap();
        path
    }

    fn check(&self, at: usize, session: &Session) {
        let bytes = fs::read(self.session(at)).unwrap();
        assert!(
            bytes == session.bytes,
            "session {at} is\n{:?}\ninstead of\n{:?}",
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&session.bytes)
        );
        let status =
            || Actor::new(false).obey(Ask { session: self.session(at), what: What::Status });
        match (session.lock, session.holder()) {
            (Lock::Held, Some(holder)) => {
                let owner = self.owners[&(holder, at)];
                assert_eq!(owner_in(&fs::read(self.lock(at)).expect("a lock file")), Some(owner));
                assert_eq!(status(), Answer::Status(Some("held".into()), Some(owner)));
            }
            (Lock::Stale, None) => {
                let stale =
                    [Answer::Status(None, None), Answer::Status(Some("stale".into()), None)];
                until("the lock of a dead holder is stale", || stale.contains(&status()));
            }
            (Lock::Absent, None) => until("the lock file is gone", || !self.lock(at).exists()),
            nonsense => unreachable!("{nonsense:?}"),
        }
    }

    /// All names but those of archives, which nobody looks at any more.
    fn names(&self) -> BTreeSet<String> {
        let names = self.room.names().into_iter();
        names.filter(|name| !name.starts_with("archive.")).collect()
    }

    fn expected_names(&self, state: &State) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (at, session) in state.sessions.iter().enumerate() {
            names.insert(format!("s{at}.jsonl"));
            if session.lock != Lock::Absent {
                names.insert(format!("s{at}.jsonl.lock"));
            }
            if session.quarantine {
                names.insert(format!("s{at}.jsonl.damaged"));
            }
        }
        names
    }
}

impl Expected {
    fn fits(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Is(expected), answer) => expected == answer,
            (Self::Lost(Some(expected)), Answer::Lost(cause)) => expected == cause,
            (Self::Lost(None) | Self::LostOrDone, Answer::Lost(_)) => true,
            (Self::Failed(expected), Answer::Failed(variant, _)) => expected == variant,
            (Self::Held, Answer::Held(_)) | (Self::LostOrDone, Answer::Done) => true,
            (Self::Any, answer) => !matches!(answer, Answer::Failed(..)),
            _ => false,
        }
    }

    fn comes_later_than(&self, answer: &Answer) -> bool {
        matches!(
            (self, answer),
            (Self::Held, Answer::Busy) | (Self::Is(Answer::Removed(true)), Answer::Removed(false))
        )
    }
}

fn owner_in(record: &[u8]) -> Option<Uuid> {
    let record: serde_json::Value = serde_json::from_slice(record).ok()?;
    record["owner"].as_str()?.parse().ok()
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    eventually_within(DEADLINE, what, || holds().then_some(()));
}
