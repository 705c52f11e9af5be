//! Systems whose extended attributes this crate does not know: there are no notes.

use std::fs::File;
use std::io;

use super::About;

pub(super) fn set(_file: &File, _about: About, _note: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn remove(_file: &File, _about: About) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn get(_file: &File, _about: About) -> Option<Vec<u8>> {
    None
}
