//! Second names for the files of the sessions, as a snapshot tool makes them (`cp -al`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::child::session_path;
use super::journal::{Journal, Kind, Record};

/// The second names that are there now.
#[derive(Default)]
pub(super) struct Links {
    count: u64,
    /// The last ones that were made, and whether they stay.
    snapshot: Option<(PathBuf, bool)>,
}

impl Links {
    /// Makes a second name for the lock file of each of these sessions, and with `all` for the
    /// session file, too. If there are second names, removes them instead, unless they are of lock
    /// files alone and were made to `stay`: who cannot take such a file over waits for good then.
    pub(super) fn come_or_go(
        &mut self,
        dir: &Path,
        sessions: std::ops::Range<u16>,
        all: bool,
        stay: bool,
        journal: &Journal,
    ) -> io::Result<()> {
        if let Some((snapshot, stays)) = self.snapshot.take() {
            return if stays { Ok(()) } else { fs::remove_dir_all(snapshot) };
        }
        let snapshot = dir.join(format!("snapshot-{}", self.count));
        self.count += 1;
        fs::create_dir(&snapshot)?;
        for session in sessions {
            let path = session_path(dir, session);
            let lock = path.with_extension("jsonl.lock");
            if all {
                link(&path, &snapshot)?;
            }
            if link(&lock, &snapshot)? {
                journal.note(&Record { session, ..Record::now(Kind::Linked) });
            }
        }
        self.snapshot = Some((snapshot, stay && !all));
        Ok(())
    }
}

/// Returns whether there is such a file.
fn link(file: &Path, into: &Path) -> io::Result<bool> {
    let Some(name) = file.file_name() else { return Ok(false) };
    match fs::hard_link(file, into.join(name)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::stress::journal::read;

    #[test]
    fn second_names_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let lock = session_path(dir.path(), 1).with_extension("jsonl.lock");
        fs::write(&lock, "{}").unwrap();
        let journal = Journal::open(dir.path(), None).unwrap();
        let mut links = Links::default();
        let names = || fs::metadata(&lock).unwrap().nlink();
        let mut come_or_go =
            |all, stay| links.come_or_go(dir.path(), 0..3, all, stay, &journal).unwrap();
        come_or_go(true, true);
        assert_eq!(names(), 2);
        come_or_go(true, true);
        assert_eq!(names(), 1);
        let records = read(dir.path(), None).unwrap();
        assert_eq!((records.len(), records[0].kind, records[0].session), (1, Kind::Linked, 1));
        come_or_go(false, true);
        come_or_go(false, false);
        assert_eq!(names(), 2);
    }
}
