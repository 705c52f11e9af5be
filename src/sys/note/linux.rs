//! Notes on Linux: extended attributes of the namespace that is open to all users.

use std::fs::File;
use std::io;

use rustix::buffer::spare_capacity;
use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};

use super::About;

/// A longer note is none of ours.
const LONGEST: usize = 1024;

fn name(about: About) -> &'static str {
    match about {
        About::Turn => "user.turnlock",
        About::Rewrite => "user.turnlock.rewrite",
        About::End => "user.turnlock.end",
    }
}

pub(super) fn set(file: &File, about: About, note: &[u8]) -> io::Result<()> {
    Ok(fsetxattr(file, name(about), note, XattrFlags::empty())?)
}

pub(super) fn remove(file: &File, about: About) -> io::Result<()> {
    Ok(fremovexattr(file, name(about))?)
}

pub(super) fn get(file: &File, about: About) -> Option<Vec<u8>> {
    let mut note = Vec::with_capacity(LONGEST);
    fgetxattr(file, name(about), spare_capacity(&mut note)).ok()?;
    Some(note)
}
