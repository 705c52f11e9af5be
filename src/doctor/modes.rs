//! Modes with which a session cannot work, or is not safe: the owner needs to read and write, and not everybody may write.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::place::CAREFUL;

/// The mode and what it should be, if that is another one. Links, pipes and devices are none of our business.
pub(super) fn wrong(stat: &Stat) -> Option<(u32, u32)> {
    let mode = stat.st_mode & 0o7777;
    let right = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => (mode | 0o600) & !0o002,
        // In a sticky directory nobody can remove what is another's.
        FileType::Directory if mode & 0o1000 != 0 => mode | 0o700,
        FileType::Directory => (mode | 0o700) & !0o002,
        _ => return None,
    };
    (mode != right).then_some((mode, right))
}

/// Sets the mode of the very file that was looked at, if the path still names it.
pub(super) fn set(path: &Path, looked_at: &Stat, right: u32) -> io::Result<()> {
    // Not opened, only named: its mode may forbid the opening.
    let named = File::from(rustix::fs::open(path, OFlags::PATH | CAREFUL, Mode::empty())?);
    let stat = rustix::fs::fstat(&named)?;
    if (stat.st_dev, stat.st_ino) != (looked_at.st_dev, looked_at.st_ino) {
        return Err(io::Error::other("another file stands there by now"));
    }
    let by_descriptor = format!("/proc/self/fd/{}", named.as_raw_fd());
    std::fs::set_permissions(by_descriptor, std::fs::Permissions::from_mode(right))
}
