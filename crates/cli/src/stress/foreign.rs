//! A foreign writer. It locks as OpenClaw does: `O_EXCL` create, a record with its pid, unlink. It
//! takes no kernel lock, and has no fence.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Pid;
use serde_json::{Value, json};

use super::child::{Args, quiet_for, session_path};
use super::journal::{Journal, Kind, Record, UNKNOWN, now};
use super::line::{self, LineId, Writer};

/// The pause between two looks at a lock.
const LOOK: Duration = Duration::from_millis(2);

/// Takes foreign turns until the end of the run.
pub(super) fn write(args: &Args, journal: &Journal) -> io::Result<()> {
    let writer = Writer { child: args.child, task: 0 };
    let mut foreign = Foreign {
        args,
        journal,
        writer,
        random: StdRng::seed_from_u64(line::mix(args.seed ^ u64::from(args.child))),
        next: 0,
        turns: 0,
    };
    while now() < args.until {
        if quiet_for(now()).is_some() {
            foreign.take_turn()?;
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

struct Foreign<'a> {
    args: &'a Args,
    journal: &'a Journal,
    writer: Writer,
    random: StdRng,
    next: u64,
    turns: u64,
}

impl Foreign<'_> {
    fn take_turn(&mut self) -> io::Result<()> {
        let session = self.random.random_range(0..self.args.sessions);
        let path = session_path(&self.args.dir, session);
        let lock = path.with_extension("jsonl.lock");
        let about = Record { session, turn: self.turns, ..Record::now(Kind::Asked) };
        self.turns += 1;
        self.journal.note(&about);
        let Some(file) = self.lock(&lock, about)? else {
            self.journal.note(&Record { at: now(), kind: Kind::GaveUp, ..about });
            return Ok(());
        };
        self.journal.note(&Record { at: now(), kind: Kind::Acquired, ..about });
        for _ in 0..self.random.random_range(1..=5) {
            self.append(&path, about)?;
            std::thread::sleep(Duration::from_micros(self.random.random_range(0..2000)));
        }
        self.unlock(&lock, &file, about)
    }

    /// Polls for the lock as long as the quiet spell lasts.
    fn lock(&self, lock: &Path, about: Record) -> io::Result<Option<File>> {
        while quiet_for(now()).is_some() {
            match OpenOptions::new().write(true).create_new(true).mode(0o644).open(lock) {
                Ok(mut file) => {
                    let record = json!({
                        "pid": std::process::id(),
                        "createdAt": jiff::Timestamp::now().to_string(),
                        "starttime": own_start_time(),
                    });
                    file.write_all(record.to_string().as_bytes())?;
                    return Ok(Some(file));
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => self.reclaim(lock, about)?,
                Err(e) => return Err(e),
            }
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// Removes the lock of a dead owner, to create its own. This has OpenClaw's race.
    fn reclaim(&self, lock: &Path, about: Record) -> io::Result<()> {
        let Ok(text) = fs::read(lock) else { return Ok(()) };
        let pid = serde_json::from_slice::<Value>(&text)
            .ok()
            .and_then(|record| record.get("pid")?.as_i64());
        let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) else {
            return Ok(());
        };
        if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            self.journal.remove(lock, about);
        }
        Ok(())
    }

    /// Appends in one write. Starts with a newline if a killed writer left a torn line.
    fn append(&mut self, path: &Path, about: Record) -> io::Result<()> {
        let about = Record { kind: Kind::Begun, n: self.next, count: 1, ..about };
        let bytes = line::bytes(self.args.seed, LineId { writer: self.writer, n: self.next });
        self.next += 1;
        self.journal.note(&Record { at: now(), ..about });
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        let sealed = if last == *b"\n" { bytes } else { [b"\n", &bytes[..]].concat() };
        file.write_all(&sealed)?;
        self.journal.note(&Record {
            at: now(),
            kind: Kind::Acknowledged,
            detail: UNKNOWN,
            ..about
        });
        Ok(())
    }

    fn unlock(&self, lock: &Path, file: &File, about: Record) -> io::Result<()> {
        self.journal.note(&Record { at: now(), kind: Kind::Releasing, ..about });
        let mine = file.metadata()?.ino();
        if fs::metadata(lock).is_ok_and(|there| there.ino() == mine) {
            fs::remove_file(lock)?;
            self.journal.note(&Record { at: now(), kind: Kind::Released, ..about });
        } else {
            self.journal.note(&Record { at: now(), kind: Kind::Unprotected, ..about });
        }
        Ok(())
    }
}

/// Field 22 of our own `stat`: the start time of this process.
fn own_start_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}
