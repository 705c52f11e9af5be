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

/// Whether this process has reached its limit of open descriptors.
pub(crate) fn is_descriptor_limit(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MFILE)
}
