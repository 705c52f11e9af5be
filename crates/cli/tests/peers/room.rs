//! A session where OpenClaw keeps its own, `<state>/agents/main/sessions/s.jsonl`, and what there
//! is to see in it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use turnlock::{Durability, Sessions};

/// How long anything may take that is bound to happen.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Room {
    _dir: tempfile::TempDir,
    pub dir: PathBuf,
    pub session: PathBuf,
    pub lock: PathBuf,
}

pub fn room() -> Room {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().canonicalize().unwrap().join("agents/main/sessions");
    fs::create_dir_all(&dir).unwrap();
    let session = dir.join("s.jsonl");
    fs::write(&session, "").unwrap();
    Room { _dir: temporary, lock: session.with_extension("jsonl.lock"), session, dir }
}

/// Sessions for tests in which syncing is not the point.
pub fn buffered() -> Sessions {
    Sessions::builder().durability(Durability::Buffered).acquire_timeout(DEADLINE).build().unwrap()
}

impl Room {
    pub fn text(&self) -> String {
        fs::read_to_string(&self.session).unwrap()
    }

    /// Every line of the session, each of which must be whole.
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn tail: {:?}", text.lines().last());
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}")))
            .collect()
    }

    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(&self.lock).unwrap()).unwrap()
    }
}

/// Waits for an event, which fails the test if it never comes.
#[track_caller]
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a thread of this process waits for somebody's turn.
pub fn waits_for_turns() -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let waits = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("comm"))
            .is_ok_and(|name| name.trim_end() == "turnlock-wait")
    };
    tasks.flatten().any(waits)
}
