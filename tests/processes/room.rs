//! A directory with one session in it, and what there is to see in it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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
    let dir = temporary.path().canonicalize().unwrap();
    let session = dir.join("s.jsonl");
    Room { _dir: temporary, lock: session.with_extension("jsonl.lock"), session, dir }
}

/// Sessions for tests in which syncing is not the point.
pub fn buffered() -> Sessions {
    Sessions::builder().durability(Durability::Buffered).build().unwrap()
}

impl Room {
    pub fn text(&self) -> String {
        fs::read_to_string(&self.session).unwrap_or_default()
    }

    /// Every line of the session, each of which must be whole.
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn tail: {:?}", text.lines().last());
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}")))
            .collect()
    }

    /// What the directory holds, in the order of names.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Waits until nothing but the session itself is there: the keeper may be a few milliseconds late.
    pub fn expect_clean(&self) {
        until("the directory is clean", || self.names().iter().all(|name| name == "s.jsonl"));
    }

    /// Waits until so many block in the kernel for the lock file.
    pub fn until_waited_for(&self, waiters: usize) {
        until("the lock is waited for", || kernel_waiters(&self.lock) >= waiters);
    }

    /// Waits until so many block in the kernel for the session file's data lock.
    pub fn until_data_waited_for(&self, waiters: usize) {
        until("the data lock is waited for", || kernel_waiters(&self.session) >= waiters);
    }

    /// Puts a lock file of a foreign program there, complete at once.
    pub fn put_lock(&self, bytes: impl AsRef<[u8]>) {
        let beside = self.dir.join("beside");
        fs::write(&beside, bytes).unwrap();
        fs::rename(beside, &self.lock).unwrap();
    }

    /// Sets the lock file's last change to so long ago.
    pub fn age_lock(&self, age: Duration) {
        let file = fs::File::options().write(true).open(&self.lock).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
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

/// How many processes block in `flock` on this file, as the kernel lists them.
pub fn kernel_waiters(path: &Path) -> usize {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let waiter = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "->", "FLOCK", _, _, pid, named, ..] if named == file => Some(pid.to_owned()),
        _ => None,
    };
    // While others lock and unlock, the list may show an entry twice, or not at all.
    locks.lines().filter_map(waiter).collect::<HashSet<_>>().len()
}

/// How many threads of this process bear this name.
pub fn threads_named(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let named = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|it| it.trim_end() == name)
    };
    tasks.filter(|task| named(task.as_ref().unwrap())).count()
}

/// A record as OpenClaw writes it.
pub fn foreign_record(pid: u32, start_time: Option<u64>) -> String {
    let now = jiff::Timestamp::now();
    match start_time {
        Some(start) => format!(
            "{{\n  \"pid\": {pid},\n  \"createdAt\": \"{now:.3}\",\n  \"starttime\": {start}\n}}\n"
        ),
        None => format!("{{\n  \"pid\": {pid},\n  \"createdAt\": \"{now:.3}\"\n}}\n"),
    }
}

/// Field 22 of a process's `stat`.
pub fn start_time_of(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = &stat[stat.rfind(')').unwrap() + 2..];
    after_name.split(' ').nth(19).unwrap().parse().unwrap()
}

/// A process id that nobody has.
pub const NOBODY: u32 = 1 << 30;

/// Threads and descriptors of this process.
pub fn census() -> (usize, usize) {
    let count = |dir: &str| fs::read_dir(dir).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Runs a test's body in a process of its own, where it may count threads and descriptors, and set limits.
pub fn alone(name: &str, body: impl FnOnce()) {
    const ALONE: &str = "TURNLOCK_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
