//! Systems on which the kind of a filesystem is not looked up.

use std::io;
use std::path::Path;

use super::Filesystem;

pub(super) fn filesystem(_dir: &Path) -> io::Result<Filesystem> {
    Ok(Filesystem::of_kind("unknown".to_owned(), None))
}
