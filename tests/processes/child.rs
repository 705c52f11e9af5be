//! Another process: this test binary again, in the role of one that does what it is told, a line at a time.

use std::io::{BufRead, BufReader, Write, stdin};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnlock::{Acquire, Durability, Error, Sessions, Turn};
use uuid::Uuid;

use crate::room::{DEADLINE, Room, census};

/// What a child is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Take the turn, waiting so many milliseconds at most.
    Acquire(u64),
    /// The same, in a task of a runtime.
    AcquireInTask(u64),
    Append(Value),
    /// Replace everything by this line.
    Rewrite(Value),
    Repair,
    Release,
    /// Let the turn go by dropping it.
    Drop,
    Lost,
    Post(Value),
    Posts {
        writer: u64,
        count: u64,
    },
    /// Take so many turns with two appends each.
    Turns {
        writer: u64,
        count: u64,
    },
    /// The same, while lock files may be removed: turns that are lost are given up.
    FragileTurns {
        writer: u64,
        count: u64,
    },
    /// Take a turn, and see that nobody else has it.
    Meet(PathBuf),
    /// Take the data lock and keep it: what a poster looks like that was stopped inside its append.
    LockData,
    UnlockData,
    /// Take the data lock through the descriptor of the turn, as an append does, and stay.
    EnterSection,
    /// Do this in a fork, which answers, and ends.
    InFork(Vec<Ask>),
    /// Leave a fork behind that does nothing, until the input ends.
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
    /// So many turns were lost.
    Lost(u64),
    Cause(Option<String>),
    Census {
        threads: usize,
        descriptors: usize,
    },
    /// The error's variant, and its text.
    Failed(String, String),
}

/// How a child is to be started.
#[derive(Default)]
pub struct How {
    /// A program, with its arguments, that starts the child.
    pub through: Vec<String>,
    pub portable: bool,
    pub uid: Option<u32>,
}

pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    answers: Receiver<Answer>,
}

const ROLE: &str = "TURNLOCK_TEST_CHILD";
const PORTABLE: &str = "TURNLOCK_TEST_PORTABLE";
/// Answers stand behind this, so that what the test harness says is told apart.
const ANSWER: &str = "@answer ";

pub fn child(room: &Room) -> Child {
    Child::start(&room.session, How::default())
}

impl Child {
    pub fn start(session: &Path, how: How) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut command = match how.through.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(exe);
                command
            }
            None => Command::new(exe),
        };
        command.args(["--exact", "child::role", "--nocapture", "--test-threads=1"]);
        command
            .env(ROLE, session)
            .env_remove(PORTABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if how.portable {
            command.env(PORTABLE, "1");
        }
        if let Some(uid) = how.uid {
            std::os::unix::process::CommandExt::uid(&mut command, uid);
        }
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The harness does not end its own line before the test's output begins.
                if let Some((_, answer)) = line.split_once(ANSWER)
                    && sender.send(serde_json::from_str(answer).unwrap()).is_err()
                {
                    return;
                }
            }
        });
        let child = Self { process, input, answers };
        assert_eq!(child.answer(), Answer::Ready);
        child
    }

    pub fn tell(&mut self, ask: &Ask) {
        serde_json::to_writer(&mut self.input, ask).unwrap();
        self.input.write_all(b"\n").unwrap();
    }

    #[track_caller]
    pub fn answer(&self) -> Answer {
        self.answers.recv_timeout(DEADLINE * 2).expect("the child answers")
    }

    /// Whether it has answered already.
    pub fn has_answered(&self, within: Duration) -> Option<Answer> {
        self.answers.recv_timeout(within).ok()
    }

    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> Answer {
        self.tell(ask);
        self.answer()
    }

    #[track_caller]
    pub fn acquire(&mut self) -> Uuid {
        match self.ask(&Ask::Acquire(60_000)) {
            Answer::Held(owner) => owner,
            other => panic!("{other:?}"),
        }
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

    /// Asks for what must fail, and says how it failed.
    #[track_caller]
    pub fn refused(&mut self, ask: &Ask) -> (String, String) {
        match self.ask(ask) {
            Answer::Failed(kind, text) => (kind, text),
            other => panic!("{other:?}"),
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Stops the process, and waits until it has stopped.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        crate::room::until("the child is stopped", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            stat[stat.rfind(')').unwrap()..].starts_with(") T")
        });
    }

    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test: the child's side. It returns at once when it is run as one.
#[test]
fn role() {
    let Some(session) = std::env::var_os(ROLE) else { return };
    // It dies with the test that started it, whatever happens there.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let sessions = Sessions::builder()
        .durability(Durability::Buffered)
        .acquire_timeout(DEADLINE)
        .portable(std::env::var_os(PORTABLE).is_some())
        .build()
        .unwrap();
    let mut me = Me { sessions, session: session.into(), turn: None, data: None };
    say(&Answer::Ready);
    for line in stdin().lock().lines() {
        let ask = serde_json::from_str(&line.unwrap()).unwrap();
        say(&me.obey(ask).unwrap_or_else(|error| failed(&error)));
    }
}

fn say(answer: &Answer) {
    println!("{ANSWER}{}", serde_json::to_string(answer).unwrap());
}

fn failed(error: &Error) -> Answer {
    let variant = format!("{error:?}")
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned();
    Answer::Failed(variant, error.to_string())
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
                return Ok(Answer::Cause(self.turn().lost()?.map(|cause| format!("{cause:?}"))));
            }
            Ask::Post(line) => {
                return self.sessions.post_blocking(&self.session, &line).map(appended);
            }
            Ask::Posts { writer, count } => {
                for n in 0..count {
                    self.sessions.post_blocking(&self.session, &json!({"w": writer, "n": n}))?;
                }
            }
            Ask::Turns { writer, count } => {
                for n in 0..count {
                    self.two_lines(writer, n)?;
                }
            }
            Ask::FragileTurns { writer, count } => return self.fragile_turns(writer, count),
            Ask::Meet(witness) => {
                let mut turn = self.sessions.turn(&self.session).acquire_blocking()?;
                std::fs::File::create_new(&witness).expect("nobody else holds the turn");
                turn.append_blocking(&json!({"pid": std::process::id()}))?;
                std::fs::remove_file(&witness).unwrap();
                turn.release_blocking()?;
            }
            Ask::LockData => {
                let file = std::fs::File::options().append(true).open(&self.session).unwrap();
                flock(file.as_fd(), FlockOperation::LockExclusive).unwrap();
                self.data = Some(file);
            }
            Ask::UnlockData => drop(self.data.take()),
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
        let mut turn = self.sessions.turn(&self.session).acquire_blocking()?;
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
