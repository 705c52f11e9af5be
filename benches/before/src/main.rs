//! Times turns, appends, posts and wake-ups. `run` builds it with two states of the library.
//!
//! - `compare BEFORE ROUNDS` runs the other build and this one in turns, and prints a table.
//! - `time WHAT DIR` does something in a directory many times, and prints µs for each.
//! - `wait SESSION` is the other process of a wake-up.

use std::fs;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use turnlock::{Durability, Sessions};

/// What is timed, in words, and how often.
const KINDS: [(&str, &str, u32); 5] = [
    ("turn", "acquire + release, blocking", 1500),
    ("async", "acquire + release, async", 1500),
    ("append", "append, 400 bytes, in a turn", 4000),
    ("post", "post", 1500),
    ("wake-up", "wake-up across processes", 400),
];

/// Below a directory: many levels, as in a home directory.
const DEEP: &str = "home/user/.openclaw/agents/main/sessions/a/b";

/// Long enough for the other process to queue.
const HOLD: Duration = Duration::from_millis(3);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["compare", before, rounds] => compare(before, rounds.parse().expect("a number")),
        ["time", what, dir] => println!("{}", time(what, Path::new(dir))),
        ["wait", session] => wait(Path::new(session)),
        _ => panic!("see benches/before/run"),
    }
}

fn compare(before: &str, rounds: usize) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let deep = root.path().join(DEEP);
    fs::create_dir_all(&deep).expect("a deep directory");
    let now = std::env::current_exe().expect("this program");
    let programs = [PathBuf::from(before), now];
    println!("{:30} {:>10} {:>10} {:>7}   in a deep directory", "", "before", "now", "ratio");
    for (what, words, _) in KINDS {
        let [before, now, ratio] = medians(&programs, what, root.path(), rounds);
        let [.., deep] = medians(&programs, what, &deep, rounds);
        println!("{words:30} {before:7.1} µs {now:7.1} µs {ratio:7.2}   {deep:.2}");
    }
}

/// The medians of both programs, and of their ratios.
fn medians(programs: &[PathBuf; 2], what: &str, dir: &Path, rounds: usize) -> [f64; 3] {
    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        let mut pair = [0.0; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            pair[which] = timed(&programs[which], what, dir);
        }
        figures[0].push(pair[0]);
        figures[1].push(pair[1]);
        figures[2].push(pair[1] / pair[0]);
    }
    figures.map(median)
}

fn timed(program: &Path, what: &str, dir: &Path) -> f64 {
    let answer = Command::new(program).args(["time", what]).arg(dir).output().expect("an answer");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8_lossy(&answer.stdout).trim().parse().expect("µs")
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// µs for each, in a directory of its own below `dir`.
fn time(what: &str, dir: &Path) -> f64 {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let session = dir.path().join("s.jsonl");
    fs::write(&session, "{}\n").expect("a session");
    let (_, _, count) = KINDS.into_iter().find(|(name, ..)| *name == what).expect("a kind");
    if what == "wake-up" {
        return wake_up(&session, count);
    }
    let sessions = sessions();
    let began = Instant::now();
    match what {
        "turn" => (0..count).for_each(|_| turn(&sessions, &session, |_| ())),
        "async" => turns(&sessions, &session, count),
        "append" => turn(&sessions, &session, |turn| {
            for n in 0..count {
                turn.append_blocking(&line(n)).expect("an append");
            }
        }),
        _ => (0..count).for_each(|n| {
            sessions.post_blocking(&session, &line(n)).expect("a post");
        }),
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn sessions() -> Sessions {
    Sessions::builder().durability(Durability::Buffered).build().expect("sessions")
}

fn line(n: u32) -> Value {
    json!({"n": n, "text": "x".repeat(380)})
}

fn turn(sessions: &Sessions, session: &Path, work: impl FnOnce(&mut turnlock::Turn)) {
    let mut turn = sessions.turn(session).acquire_blocking().expect("a turn");
    work(&mut turn);
    turn.release_blocking().expect("a release");
}

fn turns(sessions: &Sessions, session: &Path, count: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        for _ in 0..count {
            let turn = sessions.turn(session).acquire().await.expect("a turn");
            turn.release().await.expect("a release");
        }
    });
}

/// The median time from a release here to the turn in another process.
fn wake_up(session: &Path, count: u32) -> f64 {
    let sessions = sessions();
    let mut waiter = Waiter::start(session);
    let waits = (0..count).map(|_| {
        let mut asked = None;
        turn(&sessions, session, |_| {
            waiter.ask();
            std::thread::sleep(HOLD);
            asked = Some(now());
        });
        (waiter.had_it_at() - asked.expect("asked")) as f64 / 1e3
    });
    median(waits.collect())
}

/// Another process that takes a turn when it is asked to, and says when it had it.
struct Waiter {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Waiter {
    fn start(session: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("wait").arg(session).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a waiter");
        let answers = BufReader::new(process.stdout.take().expect("its output"));
        Self { process, answers }
    }

    fn ask(&mut self) {
        writeln!(self.process.stdin.as_mut().expect("its input")).expect("a waiter");
    }

    fn had_it_at(&mut self) -> u128 {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        answer.trim().parse().expect("a time")
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn wait(session: &Path) {
    let sessions = sessions();
    for _ in stdin().lock().lines() {
        let mut at = 0;
        turn(&sessions, session, |_| at = now());
        println!("{at}");
        stdout().flush().expect("a reader");
    }
}

/// In ns, by a clock that both processes have.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_nanos()
}
