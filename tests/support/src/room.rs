//! A directory with one session in it, and what there is to see in it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::kernel::kernel_waiters;
use crate::wait::until;

/// Paths of a session and its lock file, in a directory that goes with the room.
pub struct Room {
    temporary: TempDir,
    /// The directory that the session is in, without links in its path.
    pub dir: PathBuf,
    /// `s.jsonl`. The room does not make it.
    pub session: PathBuf,
    /// `s.jsonl.lock`.
    pub lock: PathBuf,
}

/// A room whose directory is empty.
pub fn room() -> Room {
    Room::below("")
}

impl Room {
    /// A room whose session is in this directory below the temporary one.
    pub fn below(dir: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap().join(dir);
        fs::create_dir_all(&dir).unwrap();
        let session = dir.join("s.jsonl");
        Self { temporary, lock: dir.join("s.jsonl.lock"), session, dir }
    }

    /// Lets every user in, as far as the files in it do.
    pub fn let_all_in(&self) {
        for dir in [self.temporary.path(), &self.dir] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// What is in the session file; nothing if there is none.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.session).unwrap_or_default()
    }

    /// Every line of the session, each of which must be whole.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn tail: {:?}", text.lines().last());
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}")))
            .collect()
    }

    /// The record in the lock file.
    #[track_caller]
    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(&self.lock).unwrap()).unwrap()
    }

    /// What the directory holds, in the order of names.
    pub fn names(&self) -> Vec<String> {
        names(&self.dir)
    }

    /// Appends to the session as a program does that knows no lock.
    pub fn scrawl(&self, bytes: impl AsRef<[u8]>) {
        let mut file = fs::File::options().append(true).open(&self.session).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// Puts a lock file of a foreign program there, complete at once.
    pub fn put_lock(&self, bytes: impl AsRef<[u8]>) {
        let beside = self.dir.join("beside");
        fs::write(&beside, bytes).unwrap();
        fs::rename(beside, &self.lock).unwrap();
    }

    /// Sets the lock file's last change to so long ago.
    pub fn age_lock(&self, age: Duration) {
        set_age(&self.lock, age);
    }

    /// Waits until nothing but the session itself is there: the keeper may be a few milliseconds
    /// late.
    #[track_caller]
    pub fn expect_clean(&self) {
        until("the directory is clean", || self.names().iter().all(|name| name == "s.jsonl"));
    }

    /// Waits until so many processes block in the kernel for the lock file.
    #[track_caller]
    pub fn until_waited_for(&self, waiters: usize) {
        until("the lock is waited for", || kernel_waiters(&self.lock) >= waiters);
    }

    /// Waits until so many processes block in the kernel for the session file's data lock.
    #[track_caller]
    pub fn until_data_waited_for(&self, waiters: usize) {
        until("the data lock is waited for", || kernel_waiters(&self.session) >= waiters);
    }
}

/// What a directory holds, in the order of names.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Sets a file's last change to so long ago.
pub fn set_age(path: &Path, age: Duration) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}
