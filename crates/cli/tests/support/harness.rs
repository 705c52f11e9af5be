//! Rooms with a session, and processes that end with their test.

#[path = "heed.rs"]
mod heed;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program under test.
pub const TURNLOCK: &str = env!("CARGO_BIN_EXE_turnlock");
/// What is not there by then does not come.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// A directory with (the place for) a session.
pub struct Room {
    dir: tempfile::TempDir,
    pub session: PathBuf,
    pub lock: PathBuf,
}

pub fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().canonicalize().unwrap().join("s.jsonl");
    Room { lock: session.with_extension("jsonl.lock"), session, dir }
}

impl Room {
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn content(&self) -> String {
        fs::read_to_string(&self.session).unwrap()
    }

    /// The record in the lock file.
    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(&self.lock).unwrap()).unwrap()
    }

    /// `turnlock run` with this session, its command a shell script that finds `$TURNLOCK`,
    /// `$SESSION` and `$DIR`.
    pub fn run(&self, options: &[&str], script: &str) -> Running {
        let mut command = turnlock(["run"]);
        command.args(options).arg(&self.session).args(["--", "sh", "-c", script]);
        command.env("TURNLOCK", TURNLOCK).env("SESSION", &self.session).env("DIR", self.dir());
        Running::start(command)
    }

    /// A turn that is held until the process is told to go on.
    pub fn held(&self) -> Running {
        let mut holder = self.run(&["--label", "the holder"], "echo ready; read go; exit 0");
        assert_eq!(holder.line(), "ready");
        holder
    }
}

/// `turnlock` with arguments, and with nothing of this process's environment that it heeds.
pub fn turnlock<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    heed::heed_signals();
    let mut command = Command::new(TURNLOCK);
    command.args(arguments).env_remove("TURNLOCK_TURN").env_remove("RUST_LOG");
    command
}

/// A process with pipes; it is killed, and with it what it runs, when the test is done with it.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Receiver<String>,
}

/// What is left of a process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut err = child.stderr.take().unwrap();
        let (send_line, lines) = channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).all(|line| send_line.send(line).is_ok())
        });
        let (send_err, stderr) = channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            let _ = send_err.send(String::from_utf8_lossy(&text).into_owned());
        });
        Self { stdin: child.stdin.take(), child, lines, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it writes.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line of the process")
    }

    pub fn say(&mut self, text: &str) {
        self.stdin.as_mut().expect("an open standard input").write_all(text.as_bytes()).unwrap();
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    #[allow(dead_code, reason = "the tests of the doctor use it")]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the process alone; what it ran may live on.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the end of the process", || self.child.try_wait().unwrap())
    }

    /// Lets it go on to its end: its standard input ends here.
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let status = self.wait();
        let err = self.stderr.recv_timeout(DEADLINE).expect("the end of its standard error");
        let mut out = String::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            out += &line;
            out.push('\n');
        }
        Ended { code: status.code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -s {name} {pid}");
}

/// Runs a command with this on its standard input.
pub fn fed(command: Command, input: impl AsRef<[u8]>) -> Ended {
    let mut running = Running::start(command);
    // It may refuse before it has read it all.
    let _ = running.stdin.as_mut().unwrap().write_all(input.as_ref());
    running.end()
}

/// Runs a command to its end.
pub fn ended(command: Command) -> Ended {
    fed(command, "")
}

/// Looks again and again until it is there.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The state of the lock on a session as `status --json` tells it; `Null` if there is none.
pub fn status(session: &Path) -> Value {
    let mut command = turnlock(["status", "--json"]);
    command.arg(session);
    let answer = ended(command);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    serde_json::from_str::<Value>(&answer.out).unwrap()[0].clone()
}
