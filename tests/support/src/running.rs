//! A program that a test talks to through its pipes.

use std::borrow::BorrowMut;
use std::io::Write;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Doomed, lines};
use crate::wait::{DEADLINE, eventually, eventually_within};

/// Upper bound for what a program does before its next line or its end: it may have much to do, and
/// be built without optimisation.
const PATIENCE: Duration = DEADLINE.saturating_mul(3);

/// A program with pipes. It is killed, and waited for, when the test is done with it.
pub struct Running {
    process: Doomed,
    stdin: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
    /// What was taken from `err`.
    said: String,
}

/// What is left of a program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The lines of its standard output that were not read before.
    pub out: String,
    /// All of its standard error.
    pub err: String,
}

impl Running {
    /// Starts a program.
    pub fn start(mut command: impl BorrowMut<Command>) -> Self {
        let command = command.borrow_mut();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process =
            Doomed(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let out = lines(process.stdout.take().unwrap());
        let err = lines(process.stderr.take().unwrap());
        Self { stdin: process.stdin.take(), process, out, err, said: String::new() }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Writes to its standard input.
    pub fn say(&mut self, text: &str) {
        self.stdin.as_mut().expect("an open standard input").write_all(text.as_bytes()).unwrap();
    }

    /// The next line of its standard output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.out.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => {
                self.hear();
                panic!("no line of the program ({error}); it said: {}", self.said)
            }
        }
    }

    /// Waits for a line of its standard error that has these words.
    #[track_caller]
    pub fn until_it_says(&mut self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(began.elapsed());
            let line = match self.err.recv_timeout(left) {
                Ok(line) => line,
                Err(error) => panic!("not said: {words:?} ({error}); it said: {}", self.said),
            };
            add(&mut self.said, &line);
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        self.process.signal(which);
    }

    /// SIGSTOP; when this returns, the program has stopped.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.pid());
        eventually("the program to stop", || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T")).then_some(())
        });
    }

    /// SIGKILL; when this returns, the program is gone. What it started may live on.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the program alone; what it started may live on.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually_within(PATIENCE, "the end of the program", || self.process.try_wait().unwrap())
    }

    /// Ends its standard input, and waits for its end, and for that of all that has its pipes.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let code = self.wait().code();
        let out = rest(&self.out);
        self.said += &rest(&self.err);
        Ended { code, out, err: std::mem::take(&mut self.said) }
    }

    /// The lines of its standard output that were not read before, until that ends.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        rest(&self.out)
    }

    /// Takes what it has said by now.
    fn hear(&mut self) {
        while let Ok(line) = self.err.try_recv() {
            add(&mut self.said, &line);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What it started may wait for the end of this.
        drop(self.stdin.take());
    }
}

#[track_caller]
fn rest(lines: &Receiver<String>) -> String {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => add(&mut text, &line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return text,
            Err(error) => panic!("a pipe of a program that has ended ({error}): {text}"),
        }
    }
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Runs a program, with this on its standard input, to its end.
#[track_caller]
pub fn fed(command: impl BorrowMut<Command>, input: impl AsRef<[u8]>) -> Ended {
    let mut running = Running::start(command);
    // It may refuse before it has read it all.
    let _ = running.stdin.as_mut().expect("piped").write_all(input.as_ref());
    running.end()
}

/// Runs a program to its end.
#[track_caller]
pub fn ended(command: impl BorrowMut<Command>) -> Ended {
    fed(command, "")
}
