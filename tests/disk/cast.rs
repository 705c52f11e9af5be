//! A process that plays a script, from its own side. What it does is told in calls of `writev`,
//! which nothing else makes.

use std::future::Future;
use std::io::{IoSlice, Read, Write, stdin};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use rustix::process::{PTracer, set_ptracer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnlock::{Result, Sessions, Turn};
use turnlock_testing::process::die_with_parent;

use crate::script::{Script, Step, Told};

/// Environment variable that makes a player of this binary.
pub const ROLE: &str = "TURNLOCK_TEST_SCRIPT";

#[derive(Serialize, Deserialize)]
pub struct Part {
    pub script: Script,
    pub session: PathBuf,
    /// Varies the lines.
    pub pass: usize,
}

/// Not a test: the player's side. Run as a test, it returns at once.
#[test]
fn role() {
    let Some(part) = std::env::var_os(ROLE) else { return };
    die_with_parent();
    // Where only ancestors may trace, the test's `strace` may too.
    let _ = set_ptracer(PTracer::Any);
    let part: Part = serde_json::from_str(part.to_str().unwrap()).unwrap();
    let mut leash = UnixStream::from(stdin().as_fd().try_clone_to_owned().unwrap());
    leash.write_all(b"r").unwrap();
    assert_eq!(leash.read(&mut [0]).unwrap(), 0);
    // Calls are counted by thread: on a new thread only those of the script are counted.
    std::thread::spawn(|| play(part)).join().unwrap();
    // What the test harness does after it is not part of the script.
    std::process::exit(0);
}

fn play(part: Part) {
    // The calls are counted. Their number must not depend on what else runs.
    let sessions = Sessions::builder()
        .acquire_timeout(Duration::from_secs(20))
        .looks_for_writers(false)
        .build()
        .unwrap();
    let cast = Cast { sessions, session: part.session, pass: part.pass };
    say(&Told::Ready);
    if cast.play(part.script).is_err() {
        // After one fault the same process can go on with the session.
        let _ = cast.one_turn(json!({"n": "after"}));
    }
    say(&Told::End);
}

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
            Script::TakeOver | Script::TakeOverLinked => self.one_turn(self.line("1")),
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

    /// A line of this name: short, or of several blocks.
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
        Err(error) => Told::Failed(error.code().to_owned(), error.to_string()),
    });
    result
}

fn say(told: &Told) {
    let line = format!("\n@{}\n", serde_json::to_string(told).unwrap());
    let written =
        rustix::io::writev(rustix::stdio::stdout(), &[IoSlice::new(line.as_bytes())]).unwrap();
    assert_eq!(written, line.len());
}
