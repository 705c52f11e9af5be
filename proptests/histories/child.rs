//! An actor in another process: this test binary again, which does what it is told, a line at a time.

use std::io::{BufRead, BufReader, Write, stdin};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::actor::{Actor, DEADLINE};
use crate::protocol::{Answer, Ask};

const ROLE: &str = "TURNLOCK_HISTORIES_CHILD";
/// Answers stand behind this, so that what the test harness says is told apart.
const ANSWER: &str = "@answer ";

pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    answers: Receiver<Answer>,
}

impl Child {
    pub fn start(task: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child::role", "--nocapture", "--test-threads=1"]);
        command
            .env(ROLE, if task { "task" } else { "thread" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
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

    pub fn ask(&mut self, ask: &Ask) -> Answer {
        serde_json::to_writer(&mut self.input, ask).unwrap();
        self.input.write_all(b"\n").unwrap();
        self.answer()
    }

    fn answer(&self) -> Answer {
        self.answers.recv_timeout(DEADLINE * 2).expect("the child answers")
    }
}

/// SIGKILL, and gone.
impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test: the child's side. It returns at once when it is run as one.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    // It dies with the thread that started it, whatever happens there.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let mut actor = Actor::new(role == "task");
    say(&Answer::Ready);
    for line in stdin().lock().lines() {
        say(&actor.obey(serde_json::from_str::<Ask>(&line.unwrap()).unwrap()));
    }
}

fn say(answer: &Answer) {
    println!("{ANSWER}{}", serde_json::to_string(answer).unwrap());
}
