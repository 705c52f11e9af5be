//! Which processes share a lock: they inherited the descriptor through which it was taken.

#[cfg_attr(target_os = "linux", path = "sharers/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "sharers/portable.rs")]
mod system;

use std::fs::File;
use std::io;

/// Returns the processes that share the exclusive `flock` on `file`, if `is_taker` says so of the
/// process that took it: 0 if that is gone, in a PID namespace other than the system's first.
///
/// None where the system does not tell, and where `/proc` numbers the processes of another PID
/// namespace. Those of other users are missing. Blocks for some milliseconds.
pub(crate) fn sharers(file: &File, is_taker: impl Fn(i32) -> bool) -> io::Result<Vec<i32>> {
    system::sharers(file, is_taker)
}

/// Whether process `pid` is one of the [`sharers`].
pub(crate) fn is_sharer(pid: i32, file: &File, is_taker: impl Fn(i32) -> bool) -> io::Result<bool> {
    system::is_sharer(pid, file, is_taker)
}

/// Whether process `pid` has `file` open. `false` if it may not be looked into.
pub(crate) fn has_open(pid: i32, file: &File) -> io::Result<bool> {
    system::has_open(pid, file)
}

/// Whether the owner of `file` may signal process `pid`: its user's, or any if the owner is root.
pub(crate) fn may_signal(file: &File, pid: i32) -> io::Result<bool> {
    system::may_signal(file, pid)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;

    use turnlock_testing::Doomed;

    use super::*;
    use crate::sys::flock;

    #[test]
    fn who_inherited_the_descriptor_shares_the_lock_and_who_opened_the_file_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a lock");
        let file = File::create_new(&path).unwrap();
        flock::wait(&file).unwrap();
        let sleep = |stdin: File| {
            let mut command = std::process::Command::new("sleep");
            Doomed(command.arg("1000").stdin(stdin).spawn().unwrap())
        };
        let heir = sleep(file.try_clone().unwrap());
        let reader = sleep(File::open(&path).unwrap());
        let [me, heir_pid, reader_pid] =
            [std::process::id(), heir.pid(), reader.pid()].map(|pid| i32::try_from(pid).unwrap());
        let mut expected = [me, heir_pid];
        expected.sort_unstable();
        let found = || {
            let mut found = sharers(&file, |taker| taker == me).unwrap();
            found.sort_unstable();
            found
        };
        assert_eq!(found(), expected);
        assert!(has_open(heir_pid, &file).unwrap() && has_open(reader_pid, &file).unwrap());
        assert!(
            !has_open(reader_pid, &File::create_new(dir.path().join("other")).unwrap()).unwrap()
        );
        assert!(is_sharer(heir_pid, &file, |_| true).unwrap());
        assert!(!is_sharer(reader_pid, &file, |_| true).unwrap());
        assert!(sharers(&file, |taker| taker != me).unwrap().is_empty());
        fs::remove_file(&path).unwrap();
        assert_eq!(found(), expected, "also without a name");
        flock::unlock(&file);
        assert!(found().is_empty());
    }
}
