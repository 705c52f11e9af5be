//! Hands locks over to a program and to all that it starts: descriptors that an `exec` leaves open.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// The lowest number of such a descriptor. Scripts use those below 10, 99, 100 and, after the
/// manual of `flock`, 200; bash takes 255 and those below it. Node closes all up to 15 in its
/// children, and from there to the first gap.
const HIGH: RawFd = 230;
/// Where so many descriptors are not allowed.
const LOWER: [RawFd; 4] = [100, 50, 20, 10];

/// A second descriptor for a lock, inherited by every program that is started while it is open.
pub(crate) fn inheritable(lock: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let lent = [HIGH].into_iter().chain(LOWER).find_map(|lowest| {
        match fcntl_dupfd_cloexec(lock, lowest) {
            // `Invalid` is a number beyond the limit.
            Err(Errno::INVAL | Errno::MFILE) => None,
            lent => Some(lent),
        }
    });
    let lent = lent.unwrap_or(Err(Errno::MFILE))?;
    fcntl_setfd(&lent, FdFlags::empty())?;
    Ok(lent)
}
