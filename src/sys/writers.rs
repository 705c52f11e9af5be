//! Which other processes have a file open for writing, without this protocol.

#[cfg_attr(target_os = "linux", path = "writers/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "writers/portable.rs")]
mod system;

use std::fs::File;
use std::io;

/// A process that has a file open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Its id, as `/proc` numbers it here.
    pub(crate) pid: u32,
    /// The name of its program, if it can be read.
    pub(crate) program: Option<String>,
}

/// Returns the other processes that have `file` open for writing, in any namespace that can be
/// seen. Descriptors of this protocol do not count: whoever uses them compares the file with its
/// path first (I3).
///
/// Processes that may not be looked into, as those of other users, are missing. So are all where
/// the system does not tell. Blocks for some milliseconds.
pub(crate) fn writers(file: &File) -> io::Result<Vec<Writer>> {
    system::writers(file)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs::OpenOptions;
    use std::path::Path;
    use std::process::Command;

    use turnlock_testing::Doomed;

    use super::*;
    use crate::sys::{Access, Dir};

    fn sleeper(stdin: File) -> Doomed {
        Doomed(Command::new("sleep").arg("1000").stdin(stdin).spawn().unwrap())
    }

    fn found(path: &Path) -> Vec<u32> {
        let mut pids: Vec<_> =
            writers(&File::open(path).unwrap()).unwrap().iter().map(|it| it.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn who_may_write_is_found_and_who_reads_or_uses_the_protocol_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.jsonl");
        let _own = File::create_new(&path).unwrap();
        assert_eq!(found(&path), [0; 0], "this process is no stranger to itself");
        let ours = Dir::open(dir.path()).unwrap().open_file("s.jsonl".as_ref(), Access::Append);
        let _ours = sleeper(ours.unwrap());
        let _reader = sleeper(File::open(&path).unwrap());
        assert_eq!(found(&path), [0; 0]);
        let append = || OpenOptions::new().append(true).open(&path).unwrap();
        let one = sleeper(append());
        let both = sleeper(OpenOptions::new().read(true).write(true).open(&path).unwrap());
        let other = dir.path().join("other");
        let _elsewhere = sleeper(File::create_new(&other).unwrap());
        let mut expected = [one.pid(), both.pid()];
        expected.sort_unstable();
        assert_eq!(found(&path), expected);
        let named = writers(&append()).unwrap();
        assert!(named.iter().all(|it| it.program.as_deref() == Some("sleep")), "{named:?}");
        // By another name, and by none.
        std::fs::hard_link(&path, dir.path().join("link")).unwrap();
        assert_eq!(found(&dir.path().join("link")), expected);
        let open = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(writers(&open).unwrap().len(), 2);
    }
}
