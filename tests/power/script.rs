//! What a child does to a session, step by step, each told before and after, in calls of `writev`, which nothing else makes.

use std::fs;
use std::future::Future;
use std::io::{IoSlice, Read, Write, stdin};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{PTracer, Signal, set_parent_process_death_signal, set_ptracer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnlock::{Result, Sessions, Turn};

/// What is to be done; each one from its own beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Script {
    /// The first lines of a session, whose directory is made for it.
    Create,
    Append,
    /// An append behind a torn tail.
    Seal,
    Post,
    PostCreating,
    Rewrite,
    Repair,
    /// A turn is handed over within the process.
    HandOver,
    /// A holder has died, and its lock file is taken over.
    TakeOver,
    /// All of it, until somebody ends it.
    Forever,
}

#[allow(dead_code, reason = "one of the two tests that play scripts needs it")]
impl Script {
    /// Those that come to an end.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Append,
        Self::Seal,
        Self::Post,
        Self::PostCreating,
        Self::Rewrite,
        Self::Repair,
        Self::HandOver,
        Self::TakeOver,
    ];

    /// What the session holds before; none where there is none.
    pub fn before(self) -> Option<&'static [u8]> {
        match self {
            Self::Create | Self::PostCreating | Self::Forever => None,
            Self::Append | Self::Post | Self::Rewrite | Self::HandOver | Self::TakeOver => {
                Some(b"{\"n\":\"a\"}\n{\"n\":\"b\"}\n")
            }
            Self::Seal => Some(b"{\"n\":\"a\"}\n{\"n\":\"cut"),
            Self::Repair => {
                Some(b"{\"n\":\"a\"}\n{\"n\":\"cut{\"n\":\"b\"}\n\0\0\0\0{\"n\":\"c\"}\n")
            }
        }
    }

    /// Sets the stage in an empty directory: where the session is.
    pub fn prepare(self, dir: &Path) -> PathBuf {
        let session = match self {
            Self::Create => dir.join("new/s.jsonl"),
            _ => dir.join("s.jsonl"),
        };
        if let Some(bytes) = self.before() {
            fs::write(&session, bytes).unwrap();
        }
        if self == Self::TakeOver {
            let turn = Sessions::new().turn(&session).acquire_blocking().unwrap();
            let record = fs::read(turn.lock_path()).unwrap();
            let lock = turn.lock_path().to_owned();
            turn.release_blocking().unwrap();
            fs::write(lock, record).unwrap();
        }
        session
    }
}

/// One step, as it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    Acquire,
    Append(Vec<Value>),
    Rewrite(Vec<Value>),
    Repair,
    Release,
}

/// What a child tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// From here on it is about the session.
    Ready,
    Begin(Step),
    Done,
    /// The error's variant, and its text.
    Failed(String, String),
    /// The script is over, and the process is about to end.
    End,
}

const ROLE: &str = "TURNLOCK_TEST_SCRIPT";

#[derive(Serialize, Deserialize)]
struct Part {
    script: Script,
    session: PathBuf,
    pass: usize,
}

/// This test binary again, playing a script. It begins when it is let go.
pub struct Player {
    process: Child,
    leash: UnixStream,
    said: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

/// What became of a player: all that it said, and how it ended.
pub struct Played {
    pub said: Vec<u8>,
    pub status: ExitStatus,
}

#[allow(dead_code, reason = "one of the two tests that play scripts needs it")]
impl Player {
    /// `pass` varies the lines.
    pub fn start(script: Script, session: &Path, pass: usize) -> Self {
        let (leash, stdin) = UnixStream::pair().unwrap();
        let (mut output, stdout) = std::io::pipe().unwrap();
        let part = Part { script, session: session.to_owned(), pass };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "script::role", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, serde_json::to_string(&part).unwrap());
        command.stdin(OwnedFd::from(stdin)).stderr(stdout.try_clone().unwrap()).stdout(stdout);
        let process = command.spawn().unwrap();
        // Only the child has the other end of the pipe from now on.
        drop(command);
        let mut ready = [0];
        (&leash).read_exact(&mut ready).expect("the player is ready");
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let listener = std::thread::spawn(move || {
            let mut piece = vec![0; 1 << 16];
            loop {
                match output.read(&mut piece).unwrap() {
                    0 => return,
                    n => heard.lock().unwrap().extend(&piece[..n]),
                }
            }
        });
        Self { process, leash, said, listener }
    }

    /// What has been heard of it so far.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn let_go(&self) {
        self.leash.shutdown(Shutdown::Write).unwrap();
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Played {
        let status = self.process.wait().unwrap();
        self.listener.join().unwrap();
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        Played { said, status }
    }
}

/// What was told, from the output of a player that may have died while it told.
pub fn told(output: &[u8]) -> Vec<Told> {
    let lines = output.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b'@')?;
            serde_json::from_slice(&line[at + 1..]).ok()
        })
        .collect()
}

/// What was told, to be read by people: without the padding.
pub fn in_short(told: &[Told]) -> String {
    format!("{told:?}").replace(&"x".repeat(10), "")
}

fn say(told: &Told) {
    let line = format!("\n@{}\n", serde_json::to_string(told).unwrap());
    let written =
        rustix::io::writev(rustix::stdio::stdout(), &[IoSlice::new(line.as_bytes())]).unwrap();
    assert_eq!(written, line.len());
}

/// Not a test: the player's side. It returns at once when it is run as one.
#[test]
fn role() {
    let Some(part) = std::env::var_os(ROLE) else { return };
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    // Where only ancestors may trace, so may the test's `strace`.
    let _ = set_ptracer(PTracer::Any);
    let part: Part = serde_json::from_str(part.to_str().unwrap()).unwrap();
    let mut leash = UnixStream::from(stdin().as_fd().try_clone_to_owned().unwrap());
    leash.write_all(b"r").unwrap();
    assert_eq!(leash.read(&mut [0]).unwrap(), 0);
    // Calls are counted by thread: on a new one nothing but the script is counted.
    std::thread::spawn(|| play(part)).join().unwrap();
    // What the test harness does after it would be another matter.
    std::process::exit(0);
}

fn play(part: Part) {
    let sessions = Sessions::builder().acquire_timeout(Duration::from_secs(20)).build().unwrap();
    let cast = Cast { sessions, session: part.session, pass: part.pass };
    say(&Told::Ready);
    if cast.play(part.script).is_err() {
        // One fault is no reason to end: the same process can go on with the session.
        let _ = cast.one_turn(json!({"n": "after"}));
    }
    say(&Told::End);
}

/// Who plays.
struct Cast {
    sessions: Sessions,
    session: PathBuf,
    pass: usize,
}

impl Cast {
    fn play(&self, script: Script) -> Result<()> {
        match script {
            Script::Create | Script::Append | Script::Seal => {
                let mut turn = self.acquire()?;
                self.append(&mut turn, vec![self.line("1")])?;
                self.append(&mut turn, vec![self.line("2"), self.line("3")])?;
                self.release(turn)
            }
            Script::Post => {
                self.post(self.line("1"), false).and_then(|()| self.post(self.line("2"), false))
            }
            Script::PostCreating => {
                self.post(self.line("1"), true).and_then(|()| self.post(self.line("2"), false))
            }
            Script::Rewrite => {
                let mut turn = self.acquire()?;
                self.rewrite(&mut turn, vec![self.line("1"), self.line("2")])?;
                self.append(&mut turn, vec![self.line("3")])?;
                self.release(turn)
            }
            Script::Repair => {
                let mut turn = self.acquire()?;
                step(Step::Repair, || turn.repair_blocking())?;
                self.append(&mut turn, vec![self.line("1")])?;
                self.release(turn)
            }
            Script::HandOver => self.hand_over(),
            Script::TakeOver => self.one_turn(self.line("1")),
            Script::Forever => self.forever(),
        }
    }

    fn acquire(&self) -> Result<Turn> {
        step(Step::Acquire, || self.sessions.turn(&self.session).acquire_blocking())
    }

    fn append(&self, turn: &mut Turn, lines: Vec<Value>) -> Result<()> {
        step(Step::Append(lines.clone()), || turn.append_all_blocking(&lines)).map(drop)
    }

    fn rewrite(&self, turn: &mut Turn, lines: Vec<Value>) -> Result<()> {
        step(Step::Rewrite(lines.clone()), || turn.rewrite_blocking(&lines)).map(drop)
    }

    fn post(&self, line: Value, create: bool) -> Result<()> {
        step(Step::Append(vec![line.clone()]), || {
            self.sessions.post_all_blocking(&self.session, [&line], create)
        })
        .map(drop)
    }

    fn release(&self, turn: Turn) -> Result<()> {
        step(Step::Release, || turn.release_blocking())
    }

    fn one_turn(&self, line: Value) -> Result<()> {
        let mut turn = self.acquire()?;
        self.append(&mut turn, vec![line])?;
        self.release(turn)
    }

    /// A task waits in the queue when the turn is released on this thread.
    fn hand_over(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut first = self.acquire()?;
        let mut second = pin!(self.sessions.turn(&self.session).acquire());
        let _inside = runtime.enter();
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        self.append(&mut first, vec![self.line("1")])?;
        self.release(first)?;
        let mut second = step(Step::Acquire, || runtime.block_on(second))?;
        self.append(&mut second, vec![self.line("2")])?;
        self.release(second)
    }

    fn forever(&self) -> Result<()> {
        for n in 0.. {
            let line = |part| self.line(&format!("{n}.{part}"));
            let mut turn = self.acquire()?;
            if n % 7 == 6 {
                self.rewrite(&mut turn, vec![line(0), line(1)])?;
            }
            self.append(&mut turn, vec![line(2)])?;
            self.append(&mut turn, vec![line(3), line(4)])?;
            self.release(turn)?;
            self.post(line(5), false)?;
        }
        Ok(())
    }

    /// Short ones, and such as take several blocks.
    fn line(&self, name: &str) -> Value {
        let padding = [0, 100, 9_000]
            [(name.len() + usize::from(name.as_bytes()[name.len() - 1]) + self.pass) % 3];
        json!({"n": name, "pass": self.pass, "padding": "x".repeat(padding)})
    }
}

fn step<R>(step: Step, work: impl FnOnce() -> Result<R>) -> Result<R> {
    say(&Told::Begin(step));
    let result = work();
    say(&match &result {
        Ok(_) => Told::Done,
        Err(error) => {
            let debug = format!("{error:?}");
            let variant = debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            Told::Failed(variant.to_owned(), error.to_string())
        }
    });
    result
}
