//! Another process: a test binary in the role of one that does what it is told, a line at a time.
//!
//! The role is a test of that binary, which returns at once unless it is run as a child.

use std::io::{BufRead, BufReader, Write, stdin};
use std::marker::PhantomData;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::state_of;
use crate::process::{Doomed, die_with_parent};
use crate::wait::{DEADLINE, until};

/// Answers stand behind this, so that what the test harness prints is told apart.
const ANSWER: &str = "@answer ";

/// A child, what it is asked, and what it answers. It dies with the test.
pub struct Child<Ask, Answer> {
    process: Doomed,
    input: ChildStdin,
    answers: Receiver<Answer>,
    asks: PhantomData<fn(Ask)>,
}

impl<Ask: Serialize, Answer: DeserializeOwned + Send + 'static> Child<Ask, Answer> {
    /// Starts one: see [`this_binary`](crate::alone::this_binary).
    pub fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
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
        Self { process: Doomed(process), input, answers, asks: PhantomData }
    }

    /// Asks for something, and does not wait for the answer.
    pub fn tell(&mut self, ask: &Ask) {
        serde_json::to_writer(&mut self.input, ask).unwrap();
        self.input.write_all(b"\n").unwrap();
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&self) -> Answer {
        self.answers.recv_timeout(DEADLINE * 2).expect("the child answers")
    }

    /// The next answer, if it comes in time.
    pub fn has_answered(&self, within: Duration) -> Option<Answer> {
        self.answers.recv_timeout(within).ok()
    }

    /// Asks for something, and waits for the answer.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> Answer {
        self.tell(ask);
        self.answer()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops the process, and waits until it has stopped.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        until("the child is stopped", || state_of(self.pid()) == Some('T'));
    }

    /// SIGKILL; when this returns, the process is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends its input, and waits for its end.
    pub fn end(mut self) -> ExitStatus {
        drop(self.input);
        self.process.wait().unwrap()
    }
}

/// The child's side: `obey`s line by line until its input ends. It dies with the thread that
/// started it, whatever happens there.
pub fn obey<Ask: DeserializeOwned, Answer: Serialize>(mut obey: impl FnMut(Ask) -> Answer) {
    die_with_parent();
    for line in stdin().lock().lines() {
        say(&obey(serde_json::from_str(&line.unwrap()).unwrap()));
    }
}

/// The child's side: answers, also unasked.
pub fn say<Answer: Serialize>(answer: &Answer) {
    println!("{ANSWER}{}", serde_json::to_string(answer).unwrap());
}
