//! Actors: child processes that acquire and release on command. Commands and answers are lines of
//! text, so programs in any language can be compared.
//!
//! | command | answer |
//! |---|---|
//! | `acquire` | `CLOCK_MONOTONIC` in ns, as soon as the lock is held |
//! | `release` | `CLOCK_MONOTONIC` in ns, read just before the release |
//! | `contend HOLD_NS MILLIS` | the waits of all turns in that time, see [`Waits::to_line`] |
//! | `cycle COUNT` | the time in ns that this many uncontended turns took |
//!
//! The answer to `release` is sent after the release, so that the reader of the answer is not woken
//! at the same time as the waiter.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::lock::{Lock, Named};
use super::waits::Waits;

const ROLE: &str = "TURNLOCK_BENCH_ACTOR";
const SESSION: &str = "TURNLOCK_BENCH_SESSION";

/// In the process of an actor: obeys commands until the input ends, then exits. In any other
/// process: returns at once.
pub fn serve(named: Named) {
    let (Ok(role), Some(session)) = (std::env::var(ROLE), std::env::var_os(SESSION)) else {
        return;
    };
    // An actor must not outlive the process that started it, even if that is killed.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let mut lock =
        named(&role, Path::new(&session)).unwrap_or_else(|| panic!("no lock is called {role:?}"));
    while let Some(command) = next_command() {
        obey(&mut *lock, &command);
    }
    std::process::exit(0);
}

fn next_command() -> Option<String> {
    std::io::stdin().lines().next().map(|line| line.unwrap())
}

fn obey(lock: &mut dyn Lock, command_line: &str) {
    let words: Vec<_> = command_line.split(' ').collect();
    match words[..] {
        ["acquire"] => {
            let mut released = 0;
            lock.turn(&mut || {
                println!("{}", now());
                assert_eq!(
                    next_command().as_deref(),
                    Some("release"),
                    "a holder is told to release"
                );
                released = now();
            });
            println!("{released}");
        }
        ["contend", hold, millis] => {
            let hold = Duration::from_nanos(hold.parse().unwrap());
            println!(
                "{}",
                contend(lock, hold, Duration::from_millis(millis.parse().unwrap())).to_line()
            );
        }
        ["cycle", count] => {
            let began = Instant::now();
            for _ in 0..count.parse().unwrap() {
                lock.turn(&mut || {});
            }
            println!("{}", began.elapsed().as_nanos());
        }
        _ => panic!("no such command: {command_line:?}"),
    }
}

fn contend(lock: &mut dyn Lock, hold: Duration, time: Duration) -> Waits {
    let mut waits = Waits::default();
    let end = Instant::now() + time;
    loop {
        let asked = Instant::now();
        if asked >= end {
            return waits;
        }
        lock.turn(&mut || {
            waits.record(asked.elapsed());
            if !hold.is_zero() {
                // A turn that waits for a model holds the lock like this.
                std::thread::sleep(hold);
            }
        });
    }
}

/// `CLOCK_MONOTONIC` in ns, which all processes share.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A running actor. It is killed when it is dropped.
pub struct Actor {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts this program again, as an actor for the lock of this name.
    pub fn start(role: &str, session: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, role).env(SESSION, session);
        Self::run(command)
    }

    pub fn run(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, answers }
    }

    pub fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "an actor ended without an answer");
        line.trim_end().to_owned()
    }

    pub fn ask(&mut self, command: &str) -> u64 {
        self.tell(command);
        self.answer().parse().unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
