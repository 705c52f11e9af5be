//! Owner, mode and extended attributes. A new file takes them over from the file that it replaces.

#[cfg_attr(target_os = "linux", path = "attributes/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "attributes/portable.rs")]
mod system;

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

/// Gives `new` the owner, the extended attributes including the access control list, and the mode
/// of `old`.
///
/// In this order `new` never allows anybody more than `old` does: the group bits of the mode are
/// the mask of the access control list.
pub(crate) fn take_after(new: &File, old: &File) -> io::Result<()> {
    let from = old.metadata()?;
    let to = new.metadata()?;
    if (from.uid(), from.gid()) != (to.uid(), to.gid()) {
        fchown(new, Some(from.uid()), Some(from.gid()))?;
    }
    system::copy_attributes(new, old)?;
    // An access control list has set the mode already. Setting it again could change the list.
    let mode = from.mode() & 0o7777;
    if new.metadata()?.mode() & 0o7777 != mode {
        new.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Gives `new` the owner and the group of `old`, if their owners differ.
pub(crate) fn give_owner_of(old: &File, new: &File) -> io::Result<()> {
    let from = old.metadata()?;
    if new.metadata()?.uid() == from.uid() {
        return Ok(());
    }
    fchown(new, Some(from.uid()), Some(from.gid()))
}
