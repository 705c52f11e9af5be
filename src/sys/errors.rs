//! System errors that have no kind of their own in `std`.

use std::io;

use rustix::io::Errno;

/// Whether an open failed because the path names a symbolic link.
pub(crate) fn is_link_refusal(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Whether an open failed because the path names a socket, or a pipe that nobody reads.
pub(crate) fn is_pipe_refusal(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NXIO)
}

/// Whether an open failed because a file is mounted there by itself.
pub(crate) fn is_mount_refusal(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::XDEV)
}

/// Whether an open that waits for nothing failed because somebody has a lease on the file, which he
/// was now asked to give back.
pub(crate) fn is_lease_refusal(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::AGAIN)
}

/// Whether a connection failed on this side: the system or this process has too few descriptors,
/// ports or memory left, or this process may not connect.
#[cfg(feature = "gateway")]
pub(crate) fn is_own_failure(error: &io::Error) -> bool {
    use Errno as E;
    let own = [E::MFILE, E::NFILE, E::NOBUFS, E::NOMEM, E::ADDRNOTAVAIL, E::ACCESS, E::PERM];
    Errno::from_io_error(error).is_some_and(|error| own.contains(&error))
}

/// Whether this process has reached its limit of open descriptors.
pub(crate) fn is_descriptor_limit(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MFILE)
}
