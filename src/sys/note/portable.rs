//! Systems whose extended attributes this crate does not know: there are no notes.

use std::fs::File;
use std::io;

pub(super) fn set(_file: &File, _note: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn get(_file: &File) -> Option<Vec<u8>> {
    None
}
