//! Systems whose extended attributes this crate does not know: none are copied.

use std::fs::File;
use std::io;

pub(super) fn copy_attributes(_new: &File, _old: &File) -> io::Result<()> {
    Ok(())
}
