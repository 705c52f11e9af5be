//! A Node process that locks a session with a peer's own code.

use std::path::{Path, PathBuf};
use std::process::Command;

use turnlock_testing::Running;
use turnlock_testing::process::through;

use crate::npm;

/// Whose lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of January 2026: the first with the lock; removes what it cannot parse, at once.
    January,
    /// 2026.4.15: start times, and its locks are removed by path.
    April,
    /// 2026.7.35, the last: locks of processes without `openclaw` among their arguments are
    /// removed.
    July,
    FsSafe,
}

pub const ALL: [Kind; 4] = [Kind::January, Kind::April, Kind::July, Kind::FsSafe];

impl Kind {
    fn package(self) -> Result<PathBuf, String> {
        match self {
            Self::January => npm::openclaw("2026.1.29"),
            Self::April => npm::openclaw("2026.4.15"),
            Self::July => npm::openclaw("2026.7.35"),
            Self::FsSafe => npm::fs_safe(),
        }
    }

    /// Its package, where it can be had: otherwise it is skipped, aloud.
    pub fn installed(self) -> Option<Peer> {
        if Command::new("node").arg("--version").output().is_err() {
            eprintln!("skipped: {self:?}: there is no node here");
            return None;
        }
        match self.package() {
            Ok(package) => Some(Peer { kind: self, package }),
            Err(why) => {
                eprintln!("skipped: {self:?}: {why}");
                None
            }
        }
    }
}

/// All that can be had.
pub fn all() -> impl Iterator<Item = Peer> {
    ALL.into_iter().filter_map(Kind::installed)
}

/// A peer that can be run.
pub struct Peer {
    pub kind: Kind,
    package: PathBuf,
}

impl Peer {
    pub fn start(&self, session: &Path) -> Node {
        self.start_through(&[], session)
    }

    /// Started by another program, given with its arguments.
    pub fn start_through(&self, program: &[String], session: &Path) -> Node {
        let mut command = Command::new("node");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/peer.mjs"));
        command.arg(&self.package).arg(session).arg("openclaw");
        // What its doctor examines is the directory two above that of the sessions of an agent.
        if let Some(state) = session.ancestors().nth(4) {
            command.env("OPENCLAW_STATE_DIR", state);
        }
        Node::of(if program.is_empty() { command } else { through(program, &command) })
    }
}

/// A running peer.
pub struct Node(Running);

impl Node {
    fn of(command: Command) -> Self {
        let mut node = Self(Running::start(command));
        assert_eq!(node.line(), "ready");
        node
    }

    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    pub fn tell(&mut self, words: &str) {
        self.0.say(&format!("{words}\n"));
    }

    /// The next line that it writes.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.0.line()
    }

    #[track_caller]
    pub fn ask(&mut self, words: &str) -> String {
        self.tell(words);
        self.line()
    }

    #[track_caller]
    pub fn acquire(&mut self) {
        assert_eq!(self.ask("acquire 30000"), "held");
    }

    #[track_caller]
    pub fn refused(&mut self, millis: u64) -> String {
        let answer = self.ask(&format!("acquire {millis}"));
        answer.strip_prefix("refused ").unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    #[track_caller]
    pub fn write(&mut self, line: &str) {
        assert_eq!(self.ask(&format!("line {line}")), "appended");
    }

    #[track_caller]
    pub fn release(&mut self) {
        assert_eq!(self.ask("release"), "released");
    }

    /// SIGKILL; what it wrote before it died.
    pub fn kill(mut self) -> Vec<String> {
        self.0.kill();
        self.0.rest().lines().map(str::to_owned).collect()
    }

    /// What it writes until this line.
    #[track_caller]
    pub fn until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line() {
                line if line == last => return lines,
                line => lines.push(line),
            }
        }
    }
}
