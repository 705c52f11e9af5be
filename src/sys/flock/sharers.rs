//! Which processes share a lock: they inherited the descriptor through which it was taken.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::process;

/// The processes that share the exclusive lock on `file`, as far as they can be seen, if `is_taker`
/// says so of the process that took it: 0 if that has gone, in a PID namespace of its own.
///
/// Empty where the system does not tell, and where `/proc` numbers the processes of another PID
/// namespace.
pub(crate) fn sharers(file: &File, is_taker: impl Fn(i32) -> bool) -> io::Result<Vec<i32>> {
    if !process::proc_is_ours() {
        return Ok(Vec::new());
    }
    let wanted = id_of(&file.metadata()?);
    let processes = fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| shares(*pid, wanted, &is_taker)).collect())
}

/// Whether this process is one of the [`sharers`].
pub(crate) fn is_sharer(pid: i32, file: &File, is_taker: impl Fn(i32) -> bool) -> io::Result<bool> {
    Ok(process::proc_is_ours() && shares(pid, id_of(&file.metadata()?), &is_taker))
}

/// The caller has the file open, so that no other file gets its number.
fn id_of(facts: &fs::Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

fn shares(pid: i32, wanted: (u64, u64), is_taker: impl Fn(i32) -> bool) -> bool {
    // A process that has gone meanwhile, or that may not be looked at, has no entries.
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.map(|descriptor| descriptor.path()).any(|path| {
        // This first: to ask for the number of a file on a dead mount may take for ever.
        let info = info_of(pid, &path).unwrap_or_default();
        info.lines().filter_map(taker).any(&is_taker)
            && fs::metadata(&path).is_ok_and(|facts| id_of(&facts) == wanted)
    })
}

fn info_of(pid: i32, descriptor: &Path) -> Option<String> {
    let info = PathBuf::from(format!("/proc/{pid}/fdinfo")).join(descriptor.file_name()?);
    fs::read_to_string(info).ok()
}

/// Who took an exclusive `flock` through a descriptor, by a line of its `fdinfo`. Only the
/// descriptors of the open file that has the lock have such a line.
fn taker(line: &str) -> Option<i32> {
    let fields: Vec<_> = line.strip_prefix("lock:")?.split_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, "WRITE", pid, ..] => pid.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::super::*;
    use super::*;

    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn who_inherited_the_descriptor_shares_the_lock_and_who_opened_the_file_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a lock");
        let file = File::create(&path).unwrap();
        wait(&file).unwrap();
        let sleep =
            |stdin: File| Ended(Command::new("sleep").arg("1000").stdin(stdin).spawn().unwrap());
        let heir = sleep(file.try_clone().unwrap());
        let reader = sleep(File::open(&path).unwrap());
        let me = i32::try_from(std::process::id()).unwrap();
        let mut expected = vec![me, heir.0.id() as i32];
        expected.sort_unstable();
        let found = || {
            let mut found = sharers(&file, |taker| taker == me).unwrap();
            found.sort_unstable();
            found
        };
        assert_eq!(found(), expected);
        assert!(is_sharer(heir.0.id() as i32, &file, |_| true).unwrap());
        assert!(!is_sharer(reader.0.id() as i32, &file, |_| true).unwrap());
        assert_eq!(sharers(&file, |taker| taker != me).unwrap(), []);
        fs::remove_file(&path).unwrap();
        assert_eq!(found(), expected, "also without a name");
        unlock(&file);
        assert_eq!(found(), []);
    }

    #[test]
    fn lines_that_tell_of_other_locks_are_not_taken_for_it() {
        assert_eq!(taker("lock:\t1: FLOCK  ADVISORY  WRITE 45 fe:00:10010865 0 EOF"), Some(45));
        for line in [
            "ino:\t10010865",
            "lock:\t1: FLOCK  ADVISORY  READ 45 fe:00:10010865 0 EOF",
            "lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:10010865 1099511627778 1099511627778",
            "lock:\t1: LEASE  ACTIVE    READ 45 fe:00:10010865 0 EOF",
            "lock:",
        ] {
            assert_eq!(taker(line), None, "{line}");
        }
    }
}
