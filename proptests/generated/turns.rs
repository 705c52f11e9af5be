//! Histories of one process: actors acquire, give up, append, post and release, while lock files
//! are revoked, removed and replaced, beside a simple model of who holds the turn and what the
//! session file contains.

use std::collections::VecDeque;
use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;
use turnlock::{Durability, Error, Sessions, Turn};
use turnlock_testing::{NOBODY, Room, foreign_record, room, until};

use crate::cases::cases;

const ACTORS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Acquire(usize),
    /// A waiter gives up.
    Cancel(usize),
    Append(usize, usize),
    Post(usize),
    Release(usize),
    Drop(usize),
    Revoke(usize),
    /// Somebody removes the lock file.
    Remove,
    /// A foreign program that is dead by now has put its own lock file there.
    Replace,
    /// A foreign writer dies within a line.
    Tear,
}

fn step() -> impl Strategy<Value = Step> {
    let actor = 0..ACTORS;
    prop_oneof![
        6 => actor.clone().prop_map(Step::Acquire),
        2 => actor.clone().prop_map(Step::Cancel),
        6 => (actor.clone(), 1..4usize).prop_map(|(actor, lines)| Step::Append(actor, lines)),
        3 => actor.clone().prop_map(Step::Post),
        3 => actor.clone().prop_map(Step::Release),
        2 => actor.clone().prop_map(Step::Drop),
        1 => actor.prop_map(Step::Revoke),
        1 => Just(Step::Remove),
        1 => Just(Step::Replace),
        1 => Just(Step::Tear),
    ]
}

type Waiting = Pin<Box<dyn Future<Output = turnlock::Result<Turn>>>>;

struct Held {
    turn: Turn,
    lost: bool,
    /// How much of the file it has seen.
    seen: usize,
}

struct World {
    runtime: Runtime,
    room: Room,
    /// With and without marks, all in one process.
    sessions: [Sessions; ACTORS],
    held: [Option<Held>; ACTORS],
    waiting: [Option<Waiting>; ACTORS],
    /// The model: who holds, who waits in which order, and what was written.
    holder: Option<usize>,
    queue: VecDeque<usize>,
    content: String,
    count: usize,
}

impl World {
    fn new() -> Self {
        let sessions = |n| {
            let builder = Sessions::builder().durability(Durability::Buffered).portable(n % 2 == 1);
            builder.acquire_timeout(Duration::from_secs(60)).build().unwrap()
        };
        Self {
            // With one thread for file work, actors join the queue in the order in which they ask.
            runtime: tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(1)
                .enable_time()
                .build()
                .unwrap(),
            room: room(),
            sessions: std::array::from_fn(sessions),
            held: Default::default(),
            waiting: Default::default(),
            holder: None,
            queue: VecDeque::new(),
            content: String::new(),
            count: 0,
        }
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Acquire(actor) => self.acquire(actor),
            Step::Cancel(actor) => {
                self.waiting[actor] = None;
                self.queue.retain(|&other| other != actor);
            }
            Step::Append(actor, lines) => self.append(actor, lines),
            Step::Post(actor) => {
                let line = self.line("post");
                let posting = self.sessions[actor].post_creating(&self.room.session, [&line]);
                let posted = self.runtime.block_on(posting).unwrap();
                let offset = self.write(&[line]);
                assert_eq!(posted.offset as usize, offset);
            }
            Step::Release(actor) => {
                let Some(held) = self.end(actor) else { return };
                let released = self.runtime.block_on(held.turn.release());
                assert!(released.is_ok() || held.lost, "{released:?}");
            }
            Step::Drop(actor) => drop(self.end(actor)),
            Step::Revoke(actor) => {
                let Some(held) = &mut self.held[actor] else { return };
                let revoked = self.sessions[(actor + 1) % ACTORS]
                    .revoke(&self.room.session, held.turn.owner());
                assert_eq!(revoked.is_ok(), !held.lost, "{revoked:?}");
                held.lost = true;
            }
            Step::Remove => {
                let _ = fs::remove_file(&self.room.lock);
                self.lose();
            }
            Step::Replace => {
                self.room.put_lock(foreign_record(NOBODY, None));
                self.lose();
            }
            Step::Tear => {
                const TORN: &str = "{\"torn\":";
                let file = fs::File::options().append(true).create(true).open(&self.room.session);
                std::io::Write::write_all(&mut file.unwrap(), TORN.as_bytes()).unwrap();
                self.content.push_str(TORN);
            }
        }
        self.settle();
        assert_eq!(self.room.text(), self.content);
    }

    fn acquire(&mut self, actor: usize) {
        if self.held[actor].is_some() || self.waiting[actor].is_some() {
            return;
        }
        let mut acquire: Waiting =
            Box::pin(self.sessions[actor].turn(&self.room.session).acquire());
        let _inside = self.runtime.enter();
        // It asks now. A quick answer is kept.
        if let Poll::Ready(answer) = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            acquire = Box::pin(std::future::ready(answer));
        }
        self.waiting[actor] = Some(acquire);
        self.queue.push_back(actor);
    }

    fn append(&mut self, actor: usize, lines: usize) {
        let lines: Vec<_> = (0..lines).map(|_| self.line("turn")).collect();
        let Some(held) = &mut self.held[actor] else { return };
        match self.runtime.block_on(held.turn.append_all(&lines)) {
            Ok(appended) => {
                assert!(!held.lost, "written by one who had lost the turn");
                assert_eq!(appended.intervening as usize, self.content.len() - held.seen);
                let offset = self.write(&lines);
                assert_eq!(appended.offset as usize, offset);
                self.held[actor].as_mut().unwrap().seen = self.content.len();
            }
            Err(Error::LockLost { .. }) => assert!(held.lost, "refused though it holds the turn"),
            Err(error) => panic!("{error}"),
        }
    }

    fn line(&mut self, what: &str) -> serde_json::Value {
        self.count += 1;
        json!({ what: self.count })
    }

    /// Appends to the model's file; returns where the first line begins.
    fn write(&mut self, lines: &[serde_json::Value]) -> usize {
        if !self.content.is_empty() && !self.content.ends_with('\n') {
            self.content.push('\n');
        }
        let offset = self.content.len();
        for line in lines {
            self.content.push_str(&format!("{line}\n"));
        }
        offset
    }

    fn end(&mut self, actor: usize) -> Option<Held> {
        let held = self.held[actor].take()?;
        if self.holder == Some(actor) {
            self.holder = None;
        }
        Some(held)
    }

    fn lose(&mut self) {
        if let Some(held) = self.holder.and_then(|holder| self.held[holder].as_mut()) {
            held.lost = true;
        }
    }

    /// When nobody has the turn, or its holder has lost it, the first in the queue must have it
    /// soon.
    fn settle(&mut self) {
        let kept = self
            .holder
            .and_then(|holder| self.held[holder].as_ref())
            .is_some_and(|held| !held.lost);
        if kept {
            return;
        }
        let Some(next) = self.queue.pop_front() else { return };
        let waiting = self.waiting[next].take().unwrap();
        let granted = self
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(30), waiting).await });
        let turn = granted.expect("the first in the queue has the turn").unwrap();
        self.held[next] = Some(Held { turn, lost: false, seen: self.content.len() });
        self.holder = Some(next);
    }

    /// Everybody lets go: nothing is left but the session.
    fn finish(mut self) {
        self.queue.clear();
        self.waiting = Default::default();
        self.held = Default::default();
        let turn =
            self.runtime.block_on(self.sessions[0].turn(&self.room.session).acquire()).unwrap();
        self.runtime.block_on(turn.release()).unwrap();
        until("the lock file is gone", || !self.room.lock.exists());
        assert!(self.room.names().len() <= 1);
        assert_eq!(self.room.text(), self.content);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_time: 60_000, ..cases(32) })]

    #[test]
    fn the_file_contains_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.play(step);
        }
        world.finish();
    }
}
