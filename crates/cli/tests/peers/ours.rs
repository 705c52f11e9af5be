//! Our side in processes of its own: the command, and this test binary again as a program that
//! links the library.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use serde_json::json;
use turnlock::{Error, Sessions};

use crate::room::{DEADLINE, Room, buffered};

pub const TURNLOCK: &str = env!("CARGO_BIN_EXE_turnlock");

/// Runs the command with this on its standard input.
pub fn turnlock(options: &[&str], session: &Path, input: &str) -> Output {
    let mut command = Command::new(TURNLOCK);
    command.args(options).arg(session).env_remove("TURNLOCK_TURN");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may refuse before it has read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// A process of ours that is told what to do through its standard input, and tells what it did.
pub struct Ours {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Ours {
    /// `turnlock <options> run <session> -- sh -c <script>`, with `$TURNLOCK` and `$SESSION`.
    pub fn run(room: &Room, options: &[&str], script: &str) -> Self {
        let mut command = Command::new(TURNLOCK);
        command.args(options).arg("run").arg(&room.session).args(["--", "sh", "-c", script]);
        command.env("TURNLOCK", TURNLOCK).env("SESSION", &room.session);
        Self::of(command)
    }

    /// A turn that is held until the process is told to go on.
    pub fn holding(room: &Room, options: &[&str]) -> Self {
        let mut ours = Self::run(room, options, "echo held; read go; exit 0");
        assert_eq!(ours.line(), "held");
        ours
    }

    /// A program that links the library, and does one of the [`role`]s.
    pub fn linked(room: &Room, role: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        // The second filter matches no test: it is the argument by which OpenClaw knows its own.
        command.args(["--exact", "ours::role", "openclaw", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(SESSION, &room.session);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        command.env_remove("TURNLOCK_TURN");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { input: process.stdin.take(), process, lines }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    #[track_caller]
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line of our process")
    }

    /// The next line that is an answer, and not what the test harness says.
    #[track_caller]
    pub fn answer(&mut self) -> String {
        loop {
            if let Some((_, answer)) = self.line().split_once(ANSWER) {
                return answer.to_owned();
            }
        }
    }

    pub fn go(&mut self) {
        self.input.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Lets it go on to its end.
    pub fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        self.process.wait().unwrap().code()
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const ROLE: &str = "TURNLOCK_PEERS_ROLE";
const SESSION: &str = "TURNLOCK_PEERS_SESSION";
const ANSWER: &str = "@answer ";

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Acknowledged; so many bytes of others came before it since this turn last looked.
    There { intervening: u64 },
    /// Refused by the fence: not a byte was written.
    Lost,
    /// Somebody took the lock in the middle of it: it may be there.
    Overtaken,
}

/// What one writer was told, by turn and part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Told {
    pub turns: BTreeMap<u64, Vec<Outcome>>,
    pub busy: u64,
}

/// Not a test: a child's side. It returns at once when it is run as one.
#[test]
fn role() {
    let (Some(role), Some(session)) = (std::env::var(ROLE).ok(), std::env::var_os(SESSION)) else {
        return;
    };
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let session = PathBuf::from(session);
    match role.strip_prefix("turns ") {
        Some(writer) => take_turns(&session, writer.parse().unwrap()),
        None => hold(&session, &role),
    }
}

fn say(answer: &str) {
    println!("{ANSWER}{answer}");
}

fn wait_for_a_line() -> bool {
    std::io::stdin().lock().read_line(&mut String::new()).unwrap() > 0
}

/// Holds a turn, and appends at each line that it is told.
fn hold(session: &Path, label: &str) {
    let mut turn = buffered().turn(session).label(label).acquire_blocking().unwrap();
    say("held");
    while wait_for_a_line() {
        match turn.append_blocking(&json!({"ours": label})) {
            Ok(_) => say("appended"),
            Err(error) => say(&format!("refused {error}")),
        }
    }
}

/// Turns of two appends each, until it is told to stop; then what became of each, and then it waits
/// for its end, so that nobody takes its last lock for a dead one's.
fn take_turns(session: &Path, writer: u64) {
    let sessions = buffered();
    let (stop, mut told) = (AtomicBool::new(false), Told::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_a_line();
            stop.store(true, Ordering::Relaxed);
        });
        say("begun");
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(parts) = one_turn(&sessions, session, writer, n) {
                told.turns.insert(n, parts);
            } else {
                told.busy += 1;
            }
            // Between turns a program has other things to do; the peers poll, and would hardly ever
            // find the lock free.
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    say(&serde_json::to_string(&told).unwrap());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn one_turn(sessions: &Sessions, session: &Path, writer: u64, n: u64) -> Option<Vec<Outcome>> {
    let mut turn = match sessions
        .turn(session)
        .label("turns")
        .timeout(Duration::from_secs(10))
        .acquire_blocking()
    {
        Ok(turn) => turn,
        Err(Error::Timeout { .. } | Error::DataLockBusy { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let mut parts = Vec::new();
    for part in 1..=2 {
        let outcome = match turn.append_blocking(&json!({"w": writer, "n": n, "part": part})) {
            Ok(appended) => Outcome::There { intervening: appended.intervening },
            Err(Error::LockLost { .. }) => Outcome::Lost,
            Err(Error::Overtaken { .. }) => Outcome::Overtaken,
            Err(error) => panic!("{error}"),
        };
        parts.push(outcome);
        std::thread::sleep(Duration::from_millis(1));
    }
    // A turn that is lost only now has its lines all the same.
    let _ = turn.release_blocking();
    Some(parts)
}
