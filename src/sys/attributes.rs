//! Owner, mode and extended attributes. A new file takes them over from the file that it replaces,
//! or stands beside.

#[cfg_attr(target_os = "linux", path = "attributes/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "attributes/portable.rs")]
mod system;

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::fs::fchown;
use rustix::io::Errno;
use rustix::process::Gid;

use super::dir::Refusal;
use super::user::User;

const GROUP_MAY: u32 = 0o070;
/// Reading and writing.
const ALL_MAY_USE: u32 = 0o006;
/// The bits by which a program runs as the owner or the group of its file.
const RUNS_AS: u32 = 0o6000;

/// Gives a file this owner and group. `false` if that is not permitted: this process may lack the
/// power, or the user may have no number here.
pub(super) fn give(file: BorrowedFd<'_>, owner: Option<User>, group: u32) -> io::Result<bool> {
    let owner = match owner.map(User::recipient) {
        Some(None) => return Ok(false),
        Some(owner) => owner,
        None => None,
    };
    match fchown(file, owner, Some(Gid::from_raw(group))) {
        Err(Errno::PERM | Errno::INVAL | Errno::NOTSUP) => Ok(false),
        given => given.map(|()| true).map_err(io::Error::from),
    }
}

/// What a new file could be given of another one's owner and group.
struct Given {
    owner: bool,
    group: bool,
}

impl Given {
    fn all(new: &File, from: &Metadata) -> io::Result<Self> {
        let to = new.metadata()?;
        let mut given = Self { owner: from.uid() == to.uid(), group: from.gid() == to.gid() };
        if given.owner && given.group {
            return Ok(given);
        }
        if give(new.as_fd(), Some(User::of_number(from.uid())), from.gid())? {
            return Ok(Self { owner: true, group: true });
        }
        given.group = given.group || give(new.as_fd(), None, from.gid())?;
        Ok(given)
    }

    /// The part of a mode that means the same with this owner and group.
    fn of_mode(&self, mode: u32) -> u32 {
        let foreign = if self.group { 0 } else { GROUP_MAY };
        let runs_as = if self.owner && self.group { 0 } else { RUNS_AS };
        mode & !foreign & !runs_as
    }
}

/// Gives `new`, which is to replace `old`, the owner, the extended attributes including the access
/// control list, and the mode of `old`.
///
/// In this order `new` never allows anybody more than `old` does: the group bits of the mode are
/// the mask of the access control list.
///
/// # Errors
/// If the owner of `old` could not use `new`, since it may not be given to him.
pub(crate) fn replace_like(new: &File, old: &File) -> io::Result<()> {
    let (given, mode) = take_after(new, old)?;
    if given.owner || mode & ALL_MAY_USE == ALL_MAY_USE || system::group_may_use(new, mode) {
        return Ok(());
    }
    Err(Refusal::Lost { owner: User::of_number(old.metadata()?.uid()) }.into())
}

/// Gives `new`, which is empty and is to replace `old`, the flags that `chattr` has set on `old`.
/// Returns whether it has them all. Flags that it has from its directory stay.
pub(crate) fn keep_flags(new: &File, old: &File) -> bool {
    system::keep_flags(new, old)
}

/// Gives `new`, which is to stand beside `old`, what it can of the owner, the extended attributes
/// and the mode of `old`, so that those who use `old` can use `new`.
pub(crate) fn stand_beside(new: &File, old: &File) -> io::Result<()> {
    take_after(new, old).map(drop)
}

/// Gives `new` what can be given, and returns that, and its mode.
fn take_after(new: &File, old: &File) -> io::Result<(Given, u32)> {
    let from = old.metadata()?;
    let given = Given::all(new, &from)?;
    if given.group {
        system::copy_attributes(new, old)?;
    }
    // An access control list has set the mode already. Setting it again could change the list.
    let mode = given.of_mode(from.mode() & 0o7777);
    set_mode(new, mode)?;
    Ok((given, mode))
}

/// Lets those use the new lock file of a session who may use the session: its group, and those
/// whom its access control list names.
///
/// This is about the users whom the session, with this mode, lets in beside its owner. Most let
/// nobody in, which costs nothing.
pub(crate) fn share(lock: &File, session: &File, mode: Option<u32>) -> io::Result<()> {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    const MAY_USE: u32 = 0o666;
    let Some(mode) = mode.filter(|mode| mode & OTHERS_MAY_WRITE != 0) else { return Ok(()) };
    let from = session.metadata()?;
    let group = lock.metadata()?.gid() == from.gid() || give(lock.as_fd(), None, from.gid())?;
    let given = Given { owner: false, group };
    let shared = if given.group { system::copy_access(lock, session) } else { Ok(()) }
        .and_then(|()| set_mode(lock, given.of_mode(mode & MAY_USE)));
    match shared {
        // Root may have given it away, and have no power over the files of others.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        shared => shared,
    }
}

fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    if file.metadata()?.mode() & 0o7777 == mode {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(mode))
}
