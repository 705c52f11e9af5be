//! Notes on Linux: extended attributes of the namespace that is open to all users.

use std::fs::File;
use std::io;

use rustix::buffer::spare_capacity;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

const NAME: &str = "user.turnlock";
/// A longer note is none of ours.
const LONGEST: usize = 512;

pub(super) fn set(file: &File, note: &[u8]) -> io::Result<()> {
    Ok(fsetxattr(file, NAME, note, XattrFlags::empty())?)
}

pub(super) fn get(file: &File) -> Option<Vec<u8>> {
    let mut note = Vec::with_capacity(LONGEST);
    fgetxattr(file, NAME, spare_capacity(&mut note)).ok()?;
    Some(note)
}
