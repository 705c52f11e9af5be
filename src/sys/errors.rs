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

/// Whether a server does not know the file any more: another host has removed it.
pub(crate) fn is_stale_handle(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::STALE)
}

/// Whether a server has given up a lock of this host, or the file itself: the lease ran out, or
/// another host has removed the file. On a local disk the same error says that the disk is broken.
pub(crate) fn is_given_up(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::STALE | Errno::BADF))
}

/// Whether a server suspects that a wait for a lock would never end. Processes of this protocol do
/// not wait for each other in a circle (I15); the server has mistaken their order.
pub(super) fn is_suspected_deadlock(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::DEADLK)
}

/// Whether a connection failed on this side: the system or this process has too few descriptors,
/// ports or memory left, or this process may not connect.
#[cfg(feature = "gateway")]
pub(crate) fn is_own_failure(error: &io::Error) -> bool {
    use Errno as E;
    let own = [E::MFILE, E::NFILE, E::NOBUFS, E::NOMEM, E::ADDRNOTAVAIL, E::ACCESS, E::PERM];
    Errno::from_io_error(error).is_some_and(|error| own.contains(&error))
}

/// Whether the system forbids something for another reason than the permission bits of a file: who
/// owns it, or a flag that makes it immutable or append-only, also for root.
pub(crate) fn is_forbidden_by_owner_or_flag(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::PERM)
}

/// Whether this process has reached its limit of open descriptors.
pub(crate) fn is_descriptor_limit(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MFILE)
}
