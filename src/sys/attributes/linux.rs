//! Extended attributes on Linux. Access control lists are among them.

use std::fs::File;
use std::io;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    IFlags, XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, ioctl_getflags,
    ioctl_setflags,
};
use rustix::io::Errno;

/// The kernel keeps neither longer lists of names nor longer values.
const LONGEST: usize = 1 << 16;
/// Attributes about the content. The kernel removes or renews them when the file is written to.
const OF_THE_CONTENT: [&[u8]; 3] = [b"security.capability", b"security.evm", b"security.ima"];

/// Flags of a file that say how it is stored, read or saved. Those by which nobody may replace or
/// append to it are not among them, and neither are those that the kernel keeps for itself.
const FLAGS: IFlags = IFlags::NOATIME
    .union(IFlags::NODUMP)
    .union(IFlags::SYNC)
    .union(IFlags::JOURNALING)
    .union(IFlags::COMPRESSED)
    .union(IFlags::NOCOW)
    .union(IFlags::NOTAIL)
    .union(IFlags::SECURE_REMOVAL)
    .union(IFlags::UNRM)
    .union(NOT_COMPRESSED)
    .union(DIRECT_ACCESS);
/// `FS_NOCOMP_FL` and `FS_DAX_FL`.
const NOT_COMPRESSED: IFlags = IFlags::from_bits_retain(0x400);
const DIRECT_ACCESS: IFlags = IFlags::from_bits_retain(0x0200_0000);

/// The list that says who may use a file beside its owner and its group.
const ACCESS: &[u8] = b"system.posix_acl_access";

pub(super) fn copy_attributes(new: &File, old: &File) -> io::Result<()> {
    let names = names(old)?;
    drop_inherited(new, &names)?;
    for name in names.iter().filter(|name| !OF_THE_CONTENT.contains(&&name[..])) {
        match copy(name, old, new) {
            Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) if !rules_access(name) => {}
            copied => copied?,
        }
    }
    Ok(())
}

pub(super) fn keep_flags(new: &File, old: &File) -> bool {
    // Many filesystems have none.
    let Ok(wanted) = ioctl_getflags(old).map(|flags| flags & FLAGS) else { return true };
    if wanted.is_empty() {
        return true;
    }
    let Ok(mut has) = ioctl_getflags(new) else { return false };
    // One by one: some need a privilege.
    for flag in (0..u32::BITS).map(|bit| IFlags::from_bits_retain(1 << bit)) {
        if wanted.contains(flag) && !has.contains(flag) && ioctl_setflags(new, has | flag).is_ok() {
            has |= flag;
        }
    }
    has.contains(wanted)
}

/// Gives `new` the access control list of `old`, or none.
pub(super) fn copy_access(new: &File, old: &File) -> io::Result<()> {
    let copied = match value(old, ACCESS) {
        Ok(list) => fsetxattr(new, ACCESS, &list, XattrFlags::empty()),
        Err(Errno::NODATA) => fremovexattr(new, ACCESS),
        Err(e) => Err(e),
    };
    match copied {
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        copied => Ok(copied?),
    }
}

/// Whether the group of a file may read and write it. With an access control list, the group bits
/// of the mode are the most that anybody but the owner may.
pub(super) fn group_may_use(file: &File, mode: u32) -> bool {
    const VERSION_LEN: usize = 4;
    const ENTRY_LEN: usize = 8;
    const GROUP: u16 = 4;
    const MAY_USE: u16 = 6;
    let mask_lets = mode & 0o060 == 0o060;
    let Ok(list) = value(file, ACCESS) else { return mask_lets };
    let entries = list.get(VERSION_LEN..).unwrap_or_default().chunks_exact(ENTRY_LEN);
    let number = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    let mut groups = entries.filter(|entry| number(entry) == GROUP);
    mask_lets && groups.any(|entry| number(&entry[2..]) & MAY_USE == MAY_USE)
}

/// Removes the access control lists that `new` got from the directory's default list. Together with
/// the mode of `old` they would let more users in.
fn drop_inherited(new: &File, wanted: &[Vec<u8>]) -> io::Result<()> {
    for name in names(new)?.iter().filter(|name| rules_access(name) && !wanted.contains(name)) {
        fremovexattr(new, &name[..])?;
    }
    Ok(())
}

fn copy(name: &[u8], old: &File, new: &File) -> Result<(), Errno> {
    let value = match value(old, name) {
        // It was removed after the names were listed.
        Err(Errno::NODATA) => return Ok(()),
        value => value?,
    };
    if self::value(new, name).as_ref() == Ok(&value) {
        return Ok(());
    }
    fsetxattr(new, name, &value, XattrFlags::empty())
}

/// Whether this is an access control list. Without it the mode would mean something else.
fn rules_access(name: &[u8]) -> bool {
    name.starts_with(b"system.")
}

fn names(file: &File) -> io::Result<Vec<Vec<u8>>> {
    let mut list = Vec::with_capacity(LONGEST);
    match flistxattr(file, spare_capacity(&mut list)) {
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        listed => listed?,
    };
    Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

fn value(file: &File, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = Vec::with_capacity(LONGEST);
    fgetxattr(file, name, spare_capacity(&mut value))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::replace_like;
    use super::*;

    #[test]
    fn flags_that_cannot_be_set_are_told_of() {
        let old = tempfile::tempfile().unwrap();
        let without = File::open("/proc/self/comm").unwrap();
        assert!(keep_flags(&without, &old), "there are none to keep");
        if let Err(why) = ioctl_setflags(&old, ioctl_getflags(&old).unwrap() | IFlags::NOATIME) {
            return eprintln!("skipped: {why}");
        }
        assert!(!keep_flags(&without, &old));
        let new = tempfile::tempfile().unwrap();
        assert!(keep_flags(&new, &old) && ioctl_getflags(&new).unwrap().contains(IFlags::NOATIME));
    }

    #[test]
    fn an_access_list_that_cannot_be_set_is_an_error_and_another_attribute_is_left_out() {
        let old = tempfile::tempfile().unwrap();
        // On a filesystem that supports neither.
        let new = File::open("/proc/self/comm").unwrap();
        old.set_permissions(new.metadata().unwrap().permissions()).unwrap();
        let set = |name, value: &[u8]| fsetxattr(&old, name, value, XattrFlags::empty());
        if let Err(why) = set("user.note", b"x") {
            return eprintln!("skipped: {why}");
        }
        replace_like(&new, &old).unwrap();
        // Entries for the owner, one more user, the group, the mask and the others.
        let entries = [
            (1, 6, u32::MAX),
            (2, 4, 1234),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 4, u32::MAX),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, may, id) in entries {
            list.extend(
                u16::to_le_bytes(tag)
                    .into_iter()
                    .chain(u16::to_le_bytes(may))
                    .chain(u32::to_le_bytes(id)),
            );
        }
        if let Err(why) = set("system.posix_acl_access", &list) {
            return eprintln!("skipped: {why}");
        }
        assert_eq!(
            replace_like(&new, &old).unwrap_err().raw_os_error(),
            Some(Errno::NOTSUP.raw_os_error())
        );
    }
}
