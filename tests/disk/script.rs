//! Scripts: what is done to a session, step by step, and what is told before and after each step.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use turnlock::Sessions;

/// What is done. Each script has a beginning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Script {
    /// The first lines of a session, whose directory is made too.
    Create,
    Append,
    /// An append behind a torn tail.
    Seal,
    Post,
    PostCreating,
    Rewrite,
    Repair,
    /// A turn is handed over within the process.
    HandOver,
    /// A holder has died, and its lock file is taken over.
    TakeOver,
    /// The same, with a lock file that has a second name.
    TakeOverLinked,
    /// All of it, until the process is killed.
    Forever,
}

impl Script {
    /// The scripts that come to an end.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Append,
        Self::Seal,
        Self::Post,
        Self::PostCreating,
        Self::Rewrite,
        Self::Repair,
        Self::HandOver,
        Self::TakeOver,
        Self::TakeOverLinked,
    ];

    /// What the session file holds before; `None` if there is no file.
    pub fn before(self) -> Option<&'static [u8]> {
        match self {
            Self::Create | Self::PostCreating | Self::Forever => None,
            Self::Append
            | Self::Post
            | Self::Rewrite
            | Self::HandOver
            | Self::TakeOver
            | Self::TakeOverLinked => Some(b"{\"n\":\"a\"}\n{\"n\":\"b\"}\n"),
            Self::Seal => Some(b"{\"n\":\"a\"}\n{\"n\":\"cut"),
            Self::Repair => {
                Some(b"{\"n\":\"a\"}\n{\"n\":\"cut{\"n\":\"b\"}\n\0\0\0\0{\"n\":\"c\"}\n")
            }
        }
    }

    /// Prepares an empty directory for the script; returns the path of the session.
    pub fn prepare(self, dir: &Path) -> PathBuf {
        let session = match self {
            Self::Create => dir.join("new/s.jsonl"),
            _ => dir.join("s.jsonl"),
        };
        if let Some(bytes) = self.before() {
            fs::write(&session, bytes).unwrap();
        }
        if let Self::TakeOver | Self::TakeOverLinked = self {
            let turn = Sessions::new().turn(&session).acquire_blocking().unwrap();
            let record = fs::read(turn.lock_path()).unwrap();
            let lock = turn.lock_path().to_owned();
            turn.release_blocking().unwrap();
            fs::write(&lock, record).unwrap();
            if self == Self::TakeOverLinked {
                fs::hard_link(lock, dir.join("snapshot")).unwrap();
            }
        }
        session
    }
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    Acquire,
    Append(Vec<Value>),
    Rewrite(Vec<Value>),
    Repair,
    Release,
}

/// What a player tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// From here on all calls are about the session.
    Ready,
    Begin(Step),
    Done,
    /// Variant of the error, and its text.
    Failed(String, String),
    /// The script is over, and the process is about to end.
    End,
}

/// What was told, out of the output of a player that may have died in the middle of a line.
pub fn told(output: &[u8]) -> Vec<Told> {
    let lines = output.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b'@')?;
            serde_json::from_slice(&line[at + 1..]).ok()
        })
        .collect()
}

/// What was told, without the padding, for messages.
pub fn in_short(told: &[Told]) -> String {
    format!("{told:?}").replace(&"x".repeat(10), "")
}
