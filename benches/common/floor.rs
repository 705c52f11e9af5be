//! Floors: the bare system calls that turnlock is compared with.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};

/// About as long as an owner record of turnlock.
pub const RECORD: [u8; 330] = [b'x'; 330];

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

pub fn open(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, PRIVATE).unwrap()
}

pub fn lock(file: impl AsFd) {
    rustix::fs::flock(file, FlockOperation::LockExclusive).unwrap();
}

pub fn unlock(file: impl AsFd) {
    rustix::fs::flock(file, FlockOperation::Unlock).unwrap();
}

/// The simplest lock file: `open(O_EXCL)`, `flock`, `write`, `unlink`, `close`.
pub fn exclusive_file(lock_path: &Path) {
    let file = open(lock_path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL);
    lock(&file);
    rustix::io::write(&file, &RECORD).unwrap();
    rustix::fs::unlink(lock_path).unwrap();
}

/// The calls that the protocol requires for acquire and release, and no others.
pub fn protocol(session: &Path, lock_path: &Path, dir: &Path) {
    // The data lock, with its comparison (I3).
    let data = open(session, OFlags::RDWR | OFlags::APPEND);
    lock(&data);
    rustix::fs::fstat(&data).unwrap();
    rustix::fs::lstat(session).unwrap();
    // Complete before visible (I5). `linkat` fails if the name is taken.
    let file = open(dir, OFlags::TMPFILE | OFlags::RDWR);
    lock(&file);
    rustix::io::write(&file, &RECORD).unwrap();
    rustix::fs::linkat(&file, "", CWD, lock_path, AtFlags::EMPTY_PATH).unwrap();
    rustix::fs::fstat(&file).unwrap();
    unlock(&data);
    // Release: under the data lock, path and record are compared (I14), and the file is removed.
    lock(&data);
    rustix::fs::lstat(session).unwrap();
    rustix::fs::lstat(lock_path).unwrap();
    let mut record = [0; RECORD.len()];
    rustix::io::pread(&file, &mut record, 0).unwrap();
    rustix::fs::unlink(lock_path).unwrap();
    unlock(&file);
    unlock(&data);
}

/// [`protocol`] with a lock file that is kept under another name, `kept`, and renamed for each
/// turn, instead of being created and removed.
pub fn protocol_kept(session: &Path, lock_path: &Path, kept: &Path, file: &OwnedFd) {
    let data = open(session, OFlags::RDWR | OFlags::APPEND);
    lock(&data);
    rustix::fs::fstat(&data).unwrap();
    rustix::fs::lstat(session).unwrap();
    lock(file);
    rustix::fs::lstat(kept).unwrap();
    rewrite_record(file);
    rustix::fs::renameat_with(CWD, kept, CWD, lock_path, RenameFlags::NOREPLACE).unwrap();
    unlock(&data);
    lock(&data);
    rustix::fs::lstat(session).unwrap();
    rustix::fs::lstat(lock_path).unwrap();
    rustix::io::pread(file, &mut [0; RECORD.len()], 0).unwrap();
    rustix::fs::renameat_with(CWD, lock_path, CWD, kept, RenameFlags::NOREPLACE).unwrap();
    unlock(file);
    unlock(&data);
}

/// Rewrites a record in place, so that it is never a mix (I7).
pub fn rewrite_record(file: &OwnedFd) {
    rustix::io::pwrite(file, b"~", 0).unwrap();
    rustix::io::pwrite(file, &RECORD[1..], 1).unwrap();
    rustix::io::pwrite(file, &RECORD[..1], 0).unwrap();
}

/// [`protocol`] on a session that is created and removed again.
pub fn protocol_new(session: &Path, lock_path: &Path, dir: &Path) {
    drop(open(session, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL));
    protocol(session, lock_path, dir);
    rustix::fs::unlink(session).unwrap();
}

/// Appends of lines to one file.
pub struct Append {
    file: OwnedFd,
    path: std::path::PathBuf,
}

impl Append {
    pub fn to(path: &Path) -> Self {
        Self {
            file: open(path, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND),
            path: path.to_owned(),
        }
    }

    /// Only the write.
    pub fn bare(&self, line: &[u8]) {
        assert_eq!(rustix::io::write(&self.file, line).unwrap(), line.len());
    }

    /// The write under the file's `flock`, with a look at the path before and after it.
    pub fn locked(&self, line: &[u8]) {
        lock(&self.file);
        rustix::fs::lstat(&self.path).unwrap();
        self.bare(line);
        rustix::fs::lstat(&self.path).unwrap();
        unlock(&self.file);
    }

    /// The write and `fdatasync`.
    pub fn synced(&self, line: &[u8]) {
        self.bare(line);
        rustix::fs::fdatasync(&self.file).unwrap();
    }

    pub fn empty(&self) {
        rustix::fs::ftruncate(&self.file, 0).unwrap();
    }
}
