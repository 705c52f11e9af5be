//! A wall clock that can be set while processes run by it. The machine's own clock, and monotonic
//! clocks, are left alone.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::process::through;

/// In seconds.
pub const HOUR: i64 = 3600;

/// See the module.
pub struct Clock {
    dir: tempfile::TempDir,
    library: String,
}

impl Clock {
    /// A clock that agrees with the machine's. `None`, said aloud, where no clock can be set.
    pub fn new() -> Option<Self> {
        // The command knows where its library is.
        let said =
            Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
        let Some(said) = said.ok().filter(|said| said.status.success()) else {
            eprintln!("skipped: no faketime");
            return None;
        };
        let library = String::from_utf8(said.stdout).unwrap().trim().to_owned();
        let clock = Self { dir: tempfile::tempdir().unwrap(), library };
        clock.set(100 * HOUR);
        let told = clock.command(&["date", "+%s"]).output().unwrap();
        let told: Option<i64> = String::from_utf8_lossy(&told.stdout).trim().parse().ok();
        if told.is_none_or(|told| (told - now() - 100 * HOUR).abs() > 600) {
            eprintln!("skipped: no right to mount, or a faketime that does not work");
            return None;
        }
        clock.set(0);
        Some(clock)
    }

    /// Sets it ahead of the machine's by this many seconds.
    pub fn set(&self, seconds: i64) {
        let [file, next] = ["clock", "next"].map(|name| self.dir.path().join(name));
        fs::write(&next, format!("{seconds:+}")).unwrap();
        // Readers find the old time or the new one.
        fs::rename(next, file).unwrap();
    }

    /// Sets it to this many seconds after 1970 began, as on a machine whose clock battery is empty.
    pub fn set_to(&self, seconds: i64) {
        self.set(seconds - now());
    }

    /// What starts a program by this clock.
    pub fn through(&self) -> Vec<String> {
        // The library keeps shared memory, which a killed process leaves behind: it goes with the
        // mount.
        let script = format!(
            "mount -t tmpfs clock /dev/shm && exec env LD_PRELOAD='{}' \
             FAKETIME_TIMESTAMP_FILE='{}' FAKETIME_NO_CACHE=1 \
             FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 \"$@\"",
            self.library,
            self.dir.path().join("clock").display(),
        );
        ["unshare", "--mount", "sh", "-c", &script, "sh"].map(String::from).to_vec()
    }

    /// A program with its arguments, by this clock.
    pub fn command(&self, program: &[&str]) -> Command {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]);
        through(&self.through(), &command)
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}
