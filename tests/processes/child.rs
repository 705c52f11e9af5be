//! Another process that uses the library: what it can be asked to do, and what it answers.

use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnlock::{Acquire, Durability, Error, Sessions, Tail, Turn};
use turnlock_testing::alone::through;
use turnlock_testing::child::{obey, say};
use turnlock_testing::{DEADLINE, Room, census, flocked, leased};
use uuid::Uuid;

/// What a child is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Take the turn, and wait this many milliseconds at most.
    Acquire(u64),
    /// The same, in a task of a runtime.
    AcquireInTask(u64),
    Append(Value),
    /// Replace everything by this line.
    Rewrite(Value),
    Repair,
    Release,
    /// Drop the turn.
    Drop,
    Lost,
    /// Take the turn away from this owner.
    Revoke(Uuid),
    /// Fix what is wrong in the directory of the session.
    Fix,
    Post(Value),
    /// The same, and create the session if there is none.
    PostCreating(Value),
    /// Append under the turn of this owner, as its child.
    AppendUnder(Uuid, Value),
    Posts {
        writer: u64,
        count: u64,
    },
    /// The same, and create the session whenever there is none.
    PostsCreating {
        writer: u64,
        count: u64,
    },
    /// Post this line again and again.
    Fill(Value),
    /// Post lines that are numbered on from the last one.
    Number {
        writer: u64,
        count: u64,
    },
    /// Take this many turns of two appends each.
    Turns {
        writer: u64,
        count: u64,
    },
    /// The same, while lock files may be removed: lost turns are given up, and counted.
    FragileTurns {
        writer: u64,
        count: u64,
    },
    /// Take a turn, and check that nobody else has it.
    Meet(PathBuf),
    /// Take the data lock and keep it, like a poster that was stopped inside its append.
    LockData,
    UnlockData,
    /// Take a read lease on this file, as a file server does for its clients.
    Lease(PathBuf),
    /// Give it back.
    Unlease,
    /// Take the data lock through the descriptor of the turn, as an append does, and keep it.
    EnterSection,
    /// Do this in a fork, which answers and ends.
    InFork(Vec<Ask>),
    /// Leave a fork behind that does nothing until its input ends.
    Fork,
    Census,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Ready,
    Held(Uuid),
    Appended {
        offset: u64,
        bytes: u64,
        intervening: u64,
        sealed: bool,
    },
    Done,
    /// Number of turns that were lost.
    Lost(u64),
    Cause(Option<String>),
    /// Number of findings that remain.
    Remaining(usize),
    Census {
        threads: usize,
        descriptors: usize,
    },
    /// The error's code, and its text.
    Failed(String, String),
}

/// How a child is to be started.
#[derive(Default)]
pub struct How {
    /// A program, with its arguments, that starts the child.
    pub through: Vec<String>,
    pub portable: bool,
    pub uid: Option<u32>,
    /// Whether what it appends is to survive the loss of power.
    pub sync: bool,
}

/// A child of [`role`]. It dereferences to the shared child, which asks, stops and kills.
pub struct Child(turnlock_testing::child::Child<Ask, Answer>);

impl Deref for Child {
    type Target = turnlock_testing::child::Child<Ask, Answer>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Child {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

const ROLE: &str = "TURNLOCK_TEST_CHILD";
const PORTABLE: &str = "TURNLOCK_TEST_PORTABLE";
const SYNC: &str = "TURNLOCK_TEST_SYNC";

pub fn child(room: &Room) -> Child {
    Child::start(&room.session, How::default())
}

impl Child {
    pub fn start(session: &Path, how: How) -> Self {
        let mut command = through(&how.through, "child::role");
        command.env(ROLE, session);
        for (variable, is_set) in [(PORTABLE, how.portable), (SYNC, how.sync)] {
            command.env_remove(variable);
            if is_set {
                command.env(variable, "1");
            }
        }
        if let Some(uid) = how.uid {
            command.uid(uid);
        }
        let child = Self(turnlock_testing::child::Child::start(command));
        assert_eq!(child.answer(), Answer::Ready);
        child
    }

    #[track_caller]
    pub fn acquire(&mut self) -> Uuid {
        self.tell(&Ask::Acquire(60_000));
        self.answered_held()
    }

    #[track_caller]
    pub fn answered_held(&self) -> Uuid {
        match self.answer() {
            Answer::Held(owner) => owner,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn append(&mut self, line: Value) {
        let answer = self.ask(&Ask::Append(line));
        assert!(matches!(answer, Answer::Appended { .. }), "{answer:?}");
    }

    #[track_caller]
    pub fn release(&mut self) {
        assert_eq!(self.ask(&Ask::Release), Answer::Done);
    }

    /// Asks for something that must fail; how it failed.
    #[track_caller]
    pub fn refused(&mut self, ask: &Ask) -> (String, String) {
        match self.ask(ask) {
            Answer::Failed(kind, text) => (kind, text),
            other => panic!("{other:?}"),
        }
    }

    pub fn kill(mut self) {
        self.0.kill();
    }
}

/// Not a test: the child's side. Run as a test, it returns at once.
#[test]
fn role() {
    let Some(session) = std::env::var_os(ROLE) else { return };
    let durability = match std::env::var_os(SYNC) {
        Some(_) => Durability::Sync,
        None => Durability::Buffered,
    };
    let sessions = Sessions::builder()
        .durability(durability)
        .acquire_timeout(DEADLINE)
        .portable(std::env::var_os(PORTABLE).is_some())
        .build()
        .unwrap();
    let mut me = Me { sessions, session: session.into(), turn: None, data: None };
    say(&Answer::Ready);
    obey(|ask| me.obey(ask).unwrap_or_else(|error| failed(&error)));
}

fn failed(error: &Error) -> Answer {
    Answer::Failed(error.code().to_owned(), error.to_string())
}

struct Me {
    sessions: Sessions,
    session: PathBuf,
    turn: Option<Turn>,
    data: Option<std::fs::File>,
}

impl Me {
    fn obey(&mut self, ask: Ask) -> turnlock::Result<Answer> {
        match ask {
            Ask::Acquire(ms) => {
                let turn = self.acquire(ms).acquire_blocking()?;
                return Ok(self.hold(turn));
            }
            Ask::AcquireInTask(ms) => {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let turn = runtime.block_on(self.acquire(ms).acquire())?;
                return Ok(self.hold(turn));
            }
            Ask::Append(line) => return self.turn().append_blocking(&line).map(appended),
            Ask::Rewrite(line) => drop(self.turn().rewrite_blocking([line])?),
            Ask::Repair => drop(self.turn().repair_blocking()?),
            Ask::Release => self.turn.take().unwrap().release_blocking()?,
            Ask::Drop => drop(self.turn.take()),
            Ask::Lost => {
                return Ok(Answer::Cause(
                    self.turn().lost()?.map(|cause| cause.as_str().to_owned()),
                ));
            }
            Ask::Revoke(owner) => drop(self.sessions.revoke(&self.session, owner)?),
            Ask::Fix => {
                let dir = self.session.parent().unwrap();
                let examination = self.sessions.doctor().fix(true).examine([dir], |_, _| {});
                return Ok(Answer::Remaining(examination.remaining()));
            }
            Ask::Post(line) => {
                return self.sessions.post_blocking(&self.session, &line).map(appended);
            }
            Ask::PostCreating(line) => {
                let posted = self.sessions.post_all_blocking(&self.session, [line], true);
                return posted.map(appended);
            }
            Ask::AppendUnder(owner, line) => {
                let under = self.sessions.append_under_blocking(&self.session, owner, [line]);
                return under.map(appended);
            }
            Ask::Posts { writer, count } => {
                for n in 0..count {
                    self.sessions.post_blocking(&self.session, &json!({"w": writer, "n": n}))?;
                }
            }
            Ask::PostsCreating { writer, count } => {
                for n in 0..count {
                    let line = json!({"w": writer, "n": n});
                    self.sessions.post_all_blocking(&self.session, [line], true)?;
                }
            }
            Ask::Fill(line) => loop {
                self.sessions.post_all_blocking(&self.session, [&line], true)?;
            },
            Ask::Number { writer, count } => {
                for _ in 0..count {
                    let make = move |tail: &Tail<'_>| Ok(crate::made::next(tail, writer)?);
                    self.sessions.post_with_blocking(&self.session, make)?;
                }
            }
            Ask::Turns { writer, count } => {
                for n in 0..count {
                    self.two_lines(writer, n)?;
                }
            }
            Ask::FragileTurns { writer, count } => return self.fragile_turns(writer, count),
            Ask::Meet(witness) => {
                let turn = self.sessions.turn(&self.session).acquire_blocking()?;
                std::fs::File::create_new(&witness).expect("nobody else holds the turn");
                turn.append_blocking(&json!({"pid": std::process::id()}))?;
                std::fs::remove_file(&witness).unwrap();
                turn.release_blocking()?;
            }
            Ask::LockData => self.data = Some(flocked(&self.session)),
            Ask::UnlockData | Ask::Unlease => drop(self.data.take()),
            Ask::Lease(path) => self.data = Some(leased(&path)),
            Ask::EnterSection => {
                let file = crate::forked::descriptor_of(&self.session);
                flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).unwrap();
                self.data = Some(file);
            }
            Ask::InFork(asks) => crate::forked::fork(|| {
                for ask in asks {
                    say(&self.obey(ask).unwrap_or_else(|error| failed(&error)));
                }
            }),
            Ask::Fork => crate::forked::fork_away(),
            Ask::Census => {
                let (threads, descriptors) = census();
                return Ok(Answer::Census { threads, descriptors });
            }
        }
        Ok(Answer::Done)
    }

    fn acquire(&self, ms: u64) -> Acquire {
        self.sessions.turn(&self.session).label("child").timeout(Duration::from_millis(ms))
    }

    fn hold(&mut self, turn: Turn) -> Answer {
        let owner = turn.owner();
        self.turn = Some(turn);
        Answer::Held(owner)
    }

    fn turn(&mut self) -> &mut Turn {
        self.turn.as_mut().expect("a turn is held")
    }

    fn two_lines(&self, writer: u64, n: u64) -> turnlock::Result<()> {
        let turn = self.sessions.turn(&self.session).acquire_blocking()?;
        let owner = turn.owner();
        for part in 1..=2 {
            turn.append_blocking(&json!({"w": writer, "n": n, "part": part, "owner": owner}))?;
        }
        turn.release_blocking()
    }

    fn fragile_turns(&self, writer: u64, count: u64) -> turnlock::Result<Answer> {
        let mut lost = 0;
        for n in 0..count {
            match self.two_lines(writer, n) {
                Ok(()) => {}
                Err(Error::LockLost { .. } | Error::Overtaken { .. }) => lost += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(Answer::Lost(lost))
    }
}

fn appended(it: turnlock::Appended) -> Answer {
    Answer::Appended {
        offset: it.offset,
        bytes: it.bytes,
        intervening: it.intervening,
        sealed: it.sealed,
    }
}
