//! Files on Linux: a descriptor that names a file without opening it.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{CAREFUL, Stat, stat};

pub(super) fn set_mode(path: &Path, right: impl FnOnce(&Stat) -> Option<u32>) -> io::Result<()> {
    // The file's mode may forbid opening it, so it is only named.
    let named = File::from(rustix::fs::open(path, OFlags::PATH | CAREFUL, Mode::empty())?);
    let Some(mode) = right(&stat(&named)?) else { return Ok(()) };
    let by_descriptor = format!("/proc/self/fd/{}", named.as_raw_fd());
    std::fs::set_permissions(by_descriptor, Permissions::from_mode(mode))
}
