//! What the tests stand on: a state directory and a port, and what is on the wire.

use std::borrow::BorrowMut;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

pub use turnlock_testing::advice::advised;
use turnlock_testing::advice::follower;
use turnlock_testing::port::free_port;
use turnlock_testing::process::is_installed;
use turnlock_testing::signals::heed_signals;
use turnlock_testing::strace::strace_at;
use turnlock_testing::{DEADLINE, Ended, Running, ended, eventually, state_of};

/// Where one gateway lives.
pub struct Home {
    pub dir: tempfile::TempDir,
    pub state: PathBuf,
    pub port: u16,
}

pub fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().canonicalize().unwrap().join("state");
    std::fs::create_dir(&state).unwrap();
    Home { dir, state, port: free_port() }
}

/// `turnlock gateway …`, in an environment that says nothing of gateways.
pub fn gateway(args: &[&str]) -> Command {
    heed_signals();
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnlock"));
    command.arg("gateway").args(args);
    for name in [
        "OPENCLAW_STATE_DIR",
        "OPENCLAW_CONFIG_PATH",
        "OPENCLAW_GATEWAY_PORT",
        "OPENCLAW_GATEWAY_TOKEN",
        "OPENCLAW_PROFILE",
        "INVOCATION_ID",
        "NOTIFY_SOCKET",
    ] {
        command.env_remove(name);
    }
    command
}

impl Home {
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
        ended(command.arg(&self.state).args(more))
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

/// Starts a gateway, and waits until it is one.
pub fn ready(command: impl BorrowMut<Command>) -> Running {
    let mut running = Running::start(command);
    running.until_it_says("gateway on ws://");
    running
}

/// The process id that a program has told in a file.
pub fn pid_in(path: &Path) -> u32 {
    eventually("the program has started", || {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    })
}

/// A script that tells its process id, and lives on for long enough.
pub fn waiting(note: &Path) -> String {
    format!("echo $$ > {}; for n in $(seq 3000); do sleep 0.02; done", note.display())
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// An endpoint that answers every request in the same way, for as long as the test lasts.
pub fn serve(listener: TcpListener, status: &'static str, body: &'static str) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = respond(stream, status, body);
        }
    });
}

pub fn respond(mut stream: TcpStream, status: &str, body: &str) -> std::io::Result<()> {
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

/// What starts a program to which this directory is as one on a dead mount: only the tracer lets it
/// go. `None`, said aloud, where there is no `strace` that may trace.
pub fn dead_mount(dir: &Path) -> Option<Vec<String>> {
    strace_at(dir, &["inject=openat,openat2:delay_enter=600s"])
}

/// Does what a message advises, in an environment that says nothing of gateways.
pub fn follow(advice: &str) -> Ended {
    let mut command = follower(env!("CARGO_BIN_EXE_turnlock"), advice);
    for (name, _) in gateway(&[]).get_envs() {
        command.env_remove(name);
    }
    ended(command)
}

/// A program that listens on a port and answers every request with this JSON, for `-- CMD`.
/// `None`, said aloud, without Python.
pub fn python_gateway(port: u16, body: &str) -> Option<Vec<String>> {
    if !is_installed("python3") {
        eprintln!("skipped: there is no python3");
        return None;
    }
    let script = format!(
        "import http.server\n\
         class Answer(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       self.send_response(200); self.end_headers()\n\
         \x20       self.wfile.write({body:?}.encode())\n\
         \x20   def log_message(self, *_): pass\n\
         http.server.HTTPServer(('127.0.0.1', {port}), Answer).serve_forever()\n"
    );
    Some(["python3", "-c", &script].map(String::from).into())
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
