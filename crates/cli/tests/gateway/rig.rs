//! What the tests stand on: a state directory, a port, and processes that die with the test.

#[path = "../support/heed.rs"]
mod heed;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// By when anything that is to happen has happened, on the busiest machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Room {
    pub dir: tempfile::TempDir,
    pub state: PathBuf,
    pub port: u16,
}

pub fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().canonicalize().unwrap().join("state");
    std::fs::create_dir(&state).unwrap();
    Room { dir, state, port: free_port() }
}

/// A port that is this process's for as long as it lives: no other test takes it, nor does the
/// kernel for a connection, which takes higher ones.
pub fn free_port() -> u16 {
    static MINE: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    for port in 20_000..32_000 {
        let name =
            unix::SocketAddr::from_abstract_name(format!("turnlock-test-port-{port}")).unwrap();
        // Reserved by its name, which goes with the process; then looked at, for strangers.
        if let Ok(mine) = UnixListener::bind_addr(&name) {
            MINE.lock().unwrap().push(mine);
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    }
    panic!("no port is free");
}

/// `turnlock gateway …`, in an environment that says nothing of gateways.
pub fn gateway(args: &[&str]) -> Command {
    heed::heed_signals();
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnlock"));
    command.arg("gateway").args(args);
    for name in [
        "OPENCLAW_STATE_DIR",
        "OPENCLAW_CONFIG_PATH",
        "OPENCLAW_GATEWAY_PORT",
        "INVOCATION_ID",
        "NOTIFY_SOCKET",
    ] {
        command.env_remove(name);
    }
    command
}

impl Room {
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// `turnlock gateway run` on this state directory and port.
    pub fn run(&self, more: &[&str]) -> Command {
        let port = self.port.to_string();
        let mut command = gateway(&["run", "--port", &port, "--state-dir"]);
        command.arg(&self.state).args(more);
        command
    }

    /// `turnlock gateway run`, which may wait for so long.
    pub fn run_within(&self, timeout: &str) -> Command {
        self.run(&["--timeout", timeout])
    }

    /// `turnlock gateway <verb>` on this state directory.
    pub fn ask(&self, verb: &str, more: &[&str]) -> Ended {
        let mut command = gateway(&[verb, "--state-dir"]);
        end(command.arg(&self.state).args(more))
    }

    pub fn state_lock(&self) -> PathBuf {
        self.state.join("gateway.state.lock")
    }

    /// Everything in the state directory but directories.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.state.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { dirs.push(path) } else { found.push(path) }
            }
        }
        found
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
pub fn end(command: &mut Command) -> Ended {
    let output = Running::start(command).child_output();
    Ended { code: output.0.code(), out: output.1, err: output.2 }
}

/// A process that is killed when the test is done with it.
pub struct Running {
    pub child: Child,
    out: Option<thread::JoinHandle<String>>,
    err: Receiver<String>,
    said: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut out = child.stdout.take().unwrap();
        let err = lines(child.stderr.take().unwrap());
        let out = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, out: Some(out), err, said: String::new() }
    }

    /// Starts a gateway, and waits until it is one.
    pub fn ready(command: &mut Command) -> Self {
        let mut running = Self::start(command);
        running.until_it_says("gateway on ws://");
        running
    }

    /// Waits for a line on its standard error.
    pub fn until_it_says(&mut self, words: &str) -> String {
        let by = Instant::now() + DEADLINE;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            let line = self
                .err
                .recv_timeout(left)
                .unwrap_or_else(|e| panic!("{words:?} ({e}) in: {}", self.said));
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_raw(self.pid()).unwrap(), signal)
            .unwrap();
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        let by = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < by, "it does not end; it said: {}", self.said);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn child_output(mut self) -> (ExitStatus, String, String) {
        let status = self.wait();
        let out = self.out.take().unwrap().join().unwrap();
        let mut err = std::mem::take(&mut self.said);
        for line in self.err.iter() {
            err.push_str(&line);
            err.push('\n');
        }
        (status, out, err)
    }

    pub fn ended(self) -> Ended {
        let (status, out, err) = self.child_output();
        Ended { code: status.code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that is killed when the test is done with it, and whose pipes are the test's.
pub struct Doomed(pub Child);

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of a pipe, as they come.
pub fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits for something that is to happen.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let by = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < by, "{what} does not come about");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The process id that a program has told in a file.
pub fn pid_in(path: &Path) -> i32 {
    eventually("the program has started", || {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    })
}

/// A script that tells its process id, and lives on for long enough.
pub fn waiting(note: &Path) -> String {
    format!("echo $$ > {}; for n in $(seq 3000); do sleep 0.02; done", note.display())
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// An endpoint that answers every request in the same way, for as long as the test lasts.
pub fn answer(listener: TcpListener, status: &'static str, body: &'static str) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = respond(stream, status, body);
        }
    });
}

fn respond(mut stream: TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// What a gateway answers to a GET.
pub fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Whether tests may make namespaces here.
pub fn may_unshare() -> bool {
    let may = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !may {
        eprintln!("skipped: no right to make namespaces, or no unshare");
    }
    may
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
